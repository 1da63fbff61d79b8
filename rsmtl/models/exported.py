"""Models as `torch.export` programs: a `.pt2` file that needs none of the code it came from.

PyTorch's reader trusts such a file: it unpickles weights that say so, imports types, evaluates expressions and writes
names into source code. It never sees one: `rsmtl.models.program` says what is recognised, and PyTorch is given an
archive that holds this and nothing else.
"""

import hashlib
import io
import re
import warnings
import zipfile
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from rsmtl.errors import ModelError, explain
from rsmtl.models.calls import UnsafeCall, check_calls
from rsmtl.models.files import write_whole
from rsmtl.models.margin import Measured, with_margins
from rsmtl.models.model import Model
from rsmtl.models.program import Payloads, Program
from rsmtl.models.spec import ModelSpec

warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
"""Of PyTorch 2.13, whenever one of its programs is written, read or copied; nobody here can heed it."""

SUFFIX = ".pt2"
_CARD = "rsmtl.json"
_ENTRIES = re.compile(
    r"[^/]+/(data/weights/(weight_\d+|model_weights_config\.json)"
    r"|data/constants/(tensor_\d+|model_constants_config\.json)|data/sample_inputs/model\.pt|models/model\.json"
    r"|extra/rsmtl\.json|archive_format|archive_version|byteorder|\.data/(version|serialization_id))"
)
_PASSED_ON = ("archive_format", "archive_version", "byteorder", ".data/version")
"""Entries beside the program and its tensors that PyTorch asks for; each a word, or a number."""


class _Refused(Exception):
    """What a file holds that no `.pt2` may."""


class ExportCard(BaseModel):
    """What an exported program says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: ModelSpec
    window: int = Field(gt=0)
    """The edge that the program takes, in reference pixels: its shapes are fixed."""
    batch: int = Field(gt=0)
    """Windows per call."""
    measured: Measured = Measured()


class ExportedModule(nn.Module):
    """A program read from a file; it is in evaluation mode for good, and takes one shape."""

    def __init__(self, program: nn.Module, card: ExportCard) -> None:
        super().__init__()
        self.program = program
        self.card = card

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
        card = self.card
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


def save_exported(
    path: str | Path,
    module: nn.Module,
    spec: ModelSpec,
    *,
    window: int,
    batch: int = 1,
    measured: Measured | None = None,
) -> None:
    """Write a module as a program that `load_model` reads, whoever's code it is.

    Parameters
    ----------
    path
        File to write or replace; ends in `.pt2`.
    module
        Called and answering as `ModelSpec` says; exported in evaluation mode, on the CPU.
    window, batch
        The one shape that the program will take: reference pixels, and windows per call.
    measured
        What `rsmtl.engine.edge_response.measure` found of the model. `rsmtl models margin PROGRAM SCENE --save FILE`
        measures a program that was written without.

    Raises
    ------
    ModelError
        If `torch.export` cannot follow the module, or it needs an operator that `rsmtl.models.operators` does not list.
    RunError
        If the file cannot be written.
    """
    path = Path(path)
    measured = measured or Measured()
    card = ExportCard(spec=with_margins(spec, measured), window=window, batch=batch, measured=measured)
    inputs = tuple(torch.zeros(sizes) for sizes in _input_sizes(card))
    buffer = io.BytesIO()
    try:
        with torch.no_grad():  # a change of mode within the module would be an operator of its own
            program = torch.export.export(module.eval(), inputs)
        torch.export.save(program, buffer, extra_files={_CARD: card.model_dump_json()})
    except Exception as error:  # torch.export raises whatever the module and its tracer do
        raise ModelError(
            f"torch.export cannot follow the module of {spec.system!r}: {type(error).__name__}: {error}; make what it "
            "does independent of the numbers it sees"
        ) from error
    try:
        _check(buffer.getvalue(), path)
        check_calls(program, _input_sizes(card))
    except (_Refused, UnsafeCall) as refused:
        raise ModelError(
            f"the module of {spec.system!r} cannot be written as {path.name}: it has {refused}, which no program that "
            "is read here may have; use plain operators on tensors instead"
        ) from refused
    write_whole(path, buffer.getvalue(), "program")


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
    try:
        card, archive = _check(data, path)
    except _Refused as refused:
        raise ModelError(
            f"{path} holds {refused}, which could run any code when opened: it was not opened; write it with "
            "rsmtl.models.save_exported"
        ) from refused
    try:
        program = torch.export.load(archive)
        check_calls(program, _input_sizes(card))
        module = program.module()
    except UnsafeCall as unsafe:
        raise ModelError(
            f"{path} holds {unsafe}: it could read and write memory that is not its own, and was not run; write it "
            "with rsmtl.models.save_exported"
        ) from unsafe
    except Exception as error:  # of a damaged file torch raises whatever it stumbles on
        raise ModelError(
            f"{path} cannot be read as an exported program ({type(error).__name__}: {error}): export it again, with "
            f"torch {torch.__version__}"
        ) from error
    sha256 = hashlib.sha256(data).hexdigest()
    return Model(card.spec, ExportedModule(module, card), sha256, str(path), measured=card.measured)


def save_measured_program(source: Path, path: Path, measured: Measured) -> None:
    """Write a `.pt2` again with what was measured of it in its card; errors as `load_exported`."""
    card = load_exported(source).module.card
    assert isinstance(card, ExportCard)
    card = card.model_copy(update={"spec": with_margins(card.spec, measured), "measured": measured})
    buffer = io.BytesIO()
    with zipfile.ZipFile(source) as held, zipfile.ZipFile(buffer, "w") as archive:
        for entry in held.infolist():
            ours = entry.filename.endswith(f"/extra/{_CARD}")
            archive.writestr(entry.filename, card.model_dump_json().encode() if ours else held.read(entry))
    write_whole(path, buffer.getvalue(), "program")


def _input_sizes(card: ExportCard) -> list[tuple[int, int, int, int]]:
    edges = [(one.channels, int(card.window * one.scale)) for one in card.spec.inputs]
    return [(card.batch, channels, edge, edge) for channels, edge in edges]


def _check(data: bytes, path: Path) -> tuple[ExportCard, io.BytesIO]:
    """Return the card of a file, and an archive of its program and tensors as they were recognised.

    Raises
    ------
    _Refused
        If the file holds anything else.
    ModelError
        If it is damaged, or its card is missing or wrong.
    """
    try:
        held = _entries(data)
        program = Program.model_validate_json(held["models/model.json"])
        packed = {name: held[name][:64] for name in _PASSED_ON if name in held}
        packed["models/model.json"] = _json(program)
        wanted, found = program.weights(), set[str]()
        packed["data/sample_inputs/model.pt"] = b""  # a pickle, and not needed
        for kind in ("weights", "constants"):
            config = f"data/{kind}/model_{kind}_config.json"
            payloads = Payloads.model_validate_json(held[config])
            packed[config] = _json(payloads)
            for name, one in payloads.config.items():
                if name in found:
                    raise _Refused(f"a tensor {name!r} twice")
                found.add(name)
                if name in wanted and wanted[name] != one.tensor_meta:
                    raise _Refused(f"a tensor {name!r} of other sizes than its graph takes")
                place = f"data/{kind}/{one.path_name}"
                packed[place] = held[place]
                if len(packed[place]) < one.n_bytes:
                    raise _Refused(f"a tensor {name!r} of more bytes than it has")
        for name in wanted.keys() - found:
            raise _Refused(f"a graph that takes a tensor {name!r} that is not there")
    except _Refused:
        raise
    except ValidationError as error:
        raise _refusal(error, path) from error
    except Exception as error:  # damaged in whatever way: zip, JSON, keys
        raise _damaged(path, error) from error
    return _card(held, path), _archive(packed)


def _entries(data: bytes) -> dict[str, bytes]:
    """Return the entries of a zip file by name, if all of them belong, and together are no larger than the file."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        wrong = [one.filename for one in entries if not _ENTRIES.fullmatch(one.filename)]
        if wrong:
            raise _Refused(f"an entry {wrong[0]!r}")
        if len({one.filename.split("/")[0] for one in entries}) != 1:
            raise _Refused("two archives in one")
        packed = any(one.compress_type != zipfile.ZIP_STORED for one in entries)
        if packed or sum(one.file_size for one in entries) > len(data):
            raise _Refused("entries that are larger than the file")
        return {one.filename.split("/", 1)[1]: archive.read(one) for one in entries}


def _card(held: dict[str, bytes], path: Path) -> ExportCard:
    if f"extra/{_CARD}" not in held:
        raise ModelError(
            f"{path} has no card that says what it takes and gives: write it with "
            "rsmtl.models.save_exported(path, module, spec, window=…)"
        )
    try:
        return ExportCard.model_validate_json(held[f"extra/{_CARD}"])
    except ValidationError as error:
        raise ModelError(f"the card of {path} is wrong: {explain(error)}") from error


def _json(found: BaseModel) -> bytes:
    """Write what was recognised; only what stood there, as each value is of one kind."""
    return found.model_dump_json(exclude_unset=True).encode()


def _archive(entries: dict[str, bytes]) -> io.BytesIO:
    """Write an archive of our own: two readers may see two things in one zip file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in entries.items():
            archive.writestr(f"model/{name}", content)
    buffer.seek(0)
    return buffer


def _refusal(error: ValidationError, path: Path) -> Exception:
    """Say what pydantic did not recognise first; where something is missing and all the rest known, it is damage."""
    details = [one for one in error.errors() if one["type"] not in ("missing", "json_invalid")]
    if not details:
        return _damaged(path, error)
    detail = details[0]
    place = ".".join(str(part) for part in detail["loc"])
    why = detail["msg"].removeprefix("Value error, ")
    return _Refused(f"{str(detail['input'])[:80]!r} as {place} ({why})")


def _damaged(path: Path, error: Exception) -> ModelError:
    return ModelError(
        f"{path} is no exported program, or it is damaged or cut short ({type(error).__name__}): write it again "
        "with rsmtl.models.save_exported"
    )
