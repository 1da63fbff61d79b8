"""Models as `torch.export` programs: a `.pt2` file that needs none of the code it came from.

PyTorch's reader trusts such a file: it unpickles weights that say so, evaluates expressions and executes guards. What
is read here has none of these; everything else is refused before PyTorch sees it.
"""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from rsmtl.errors import ModelError, explain
from rsmtl.models.model import Model
from rsmtl.models.spec import ModelSpec

SUFFIX = ".pt2"
_CARD = "rsmtl.json"
_OPERATORS = re.compile(r"(torch\.ops\.aten\.\w+\.\w+|_operator\.getitem)")
_NAMES = re.compile(r"[\w.\[\]']*")
_NAMED = {"name", "forward_arg_names", "module_call_graph", "user_output_name"}
_ENTRIES = re.compile(
    r"[^/]+/(data/weights/(weight_\d+|model_weights_config\.json)"
    r"|data/constants/(tensor_\d+|model_constants_config\.json)|data/sample_inputs/model\.pt|models/model\.json"
    r"|extra/rsmtl\.json|archive_format|archive_version|byteorder|\.data/(version|serialization_id))"
)


class ExportCard(BaseModel):
    """What an exported program says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: ModelSpec
    window: int = Field(gt=0)
    """The edge that the program takes, in reference pixels: its shapes are fixed."""
    batch: int = Field(gt=0)
    """Windows per call."""


class ExportedModule(nn.Module):
    """A program read from a file; it is in evaluation mode for good, and takes one shape."""

    def __init__(self, program: nn.Module, card: ExportCard) -> None:
        super().__init__()
        self.program = program
        self._card = card

    def train(self, mode: bool = True) -> "ExportedModule":
        """Return itself; what a program does was fixed when it was exported."""
        self.training = False
        return self

    def forward(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Return the heads of inputs `(batch, C, H, W)` of the exported sizes.

        Raises
        ------
        ModelError
            If the sizes are others.
        """
        card = self._card
        for wanted, given in zip(card.spec.inputs, inputs, strict=True):
            edge = int(card.window * wanted.scale)
            if tuple(given.shape) != (card.batch, wanted.channels, edge, edge):
                raise ModelError(
                    f"the program was exported for {card.batch} window(s) of {card.window} px at a time, got "
                    f"{len(given)} with {wanted.name!r} of {given.shape[2]}×{given.shape[3]} px: run it with "
                    f"`--window {card.window} --batch {card.batch}`, or export it again"
                )
        outputs: dict[str, Tensor] = self.program(*inputs)
        return outputs


def save_exported(path: Path, module: nn.Module, spec: ModelSpec, *, window: int, batch: int = 1) -> None:
    """Write a module as a program that `load_model` reads, whoever's code it is.

    Parameters
    ----------
    path
        File to write or replace; ends in `.pt2`.
    module
        Called and answering as `ModelSpec` says; exported in evaluation mode, on the CPU.
    window, batch
        The one shape that the program will take: reference pixels, and windows per call.

    Raises
    ------
    ModelError
        If `torch.export` cannot follow the module.
    """
    card = ExportCard(spec=spec, window=window, batch=batch)
    edges = [(i.channels, int(window * i.scale)) for i in spec.inputs]
    inputs = tuple(torch.zeros(batch, channels, edge, edge) for channels, edge in edges)
    buffer = io.BytesIO()
    try:
        program = torch.export.export(module.eval(), inputs)
        torch.export.save(program, buffer, extra_files={_CARD: card.model_dump_json()})
    except Exception as error:  # torch.export raises whatever the module and its tracer do
        raise ModelError(
            f"torch.export cannot follow the module of {spec.system!r}: {type(error).__name__}: {error}; make what it "
            "does independent of the numbers it sees"
        ) from error
    _check(buffer.getvalue(), path)
    path.write_bytes(buffer.getvalue())


def load_exported(path: Path) -> Model:
    """Load a model from a `.pt2` file that `save_exported` wrote.

    Raises
    ------
    ModelError
        If the file is damaged, has no card, or holds what could run code when it is read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}") from error
    card, held = _check(data, path)
    try:
        program = torch.export.load(_packed(held)).module()
    except Exception as error:  # of a damaged file torch raises whatever it stumbles on
        raise ModelError(
            f"{path} cannot be read as an exported program ({type(error).__name__}: {error}): export it again, with "
            f"torch {torch.__version__}"
        ) from error
    return Model(card.spec, ExportedModule(program, card), hashlib.sha256(data).hexdigest(), str(path))


def _packed(held: dict[str, bytes]) -> io.BytesIO:
    """Write the entries that were checked as an archive of their own: two readers may see two things in one file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in held.items():
            archive.writestr(f"model/{name}", content)
    buffer.seek(0)
    return buffer


def _check(data: bytes, path: Path) -> tuple[ExportCard, dict[str, bytes]]:
    """Return card and entries of a file that has raw tensors, a graph of plain operators and a card, and no more."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            wrong = [name for name in names if not _ENTRIES.fullmatch(name)]
            if wrong or len({name.split("/")[0] for name in names}) != 1:
                raise _refusal(path, f"an entry {wrong[0]!r}" if wrong else "two archives in one")
            held = {name.split("/", 1)[1]: archive.read(name) for name in names}
        _check_tensors(held, path)
        _check_graph(json.loads(held["models/model.json"]), path)
        torch.load(io.BytesIO(held["data/sample_inputs/model.pt"]), weights_only=True)
        if f"extra/{_CARD}" not in held:
            raise ModelError(
                f"{path} has no card that says what it takes and gives: write it with "
                "rsmtl.models.save_exported(path, module, spec, window=…)"
            )
        return ExportCard.model_validate_json(held[f"extra/{_CARD}"]), held
    except ModelError:
        raise
    except ValidationError as error:
        raise ModelError(f"the card of {path} is wrong: {explain(error)}") from error
    except Exception as error:  # damaged in whatever way: zip, JSON, keys, the tensors of its sample
        raise ModelError(
            f"{path} is no exported program, or it is damaged or cut short ({type(error).__name__}): write it again "
            "with rsmtl.models.save_exported"
        ) from error


def _check_tensors(held: dict[str, bytes], path: Path) -> None:
    for kind in ("weights", "constants"):
        config = json.loads(held[f"data/{kind}/model_{kind}_config.json"])["config"]
        for name, one in config.items():
            if one["use_pickle"] or f"data/{kind}/{one['path_name']}" not in held:
                raise _refusal(path, f"{name!r} as a pickle")


def _check_graph(program: dict[str, Any], path: Path) -> None:
    if program.get("guards_code") or program.get("range_constraints"):
        raise _refusal(path, "guards or sizes that change")
    for key, value in _strings(program):
        if key == "target" and not _OPERATORS.fullmatch(value):
            raise _refusal(path, f"an operator {value!r}")
        if "expr" in key:
            raise _refusal(path, f"an expression {value!r}")
        if key in _NAMED and not _NAMES.fullmatch(value):
            raise _refusal(path, f"a name {value!r}")


def _strings(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield all strings of nested JSON with the key that they stand under."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _strings(one, name)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one, key)


def _refusal(path: Path, what: str) -> ModelError:
    return ModelError(
        f"{path} holds {what}, which could run any code when opened: it was not opened; write it with "
        "rsmtl.models.save_exported"
    )
