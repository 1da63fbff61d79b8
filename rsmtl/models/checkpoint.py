"""A checkpoint is one safetensors file: weights, and a card in its metadata that says all the rest.

Nothing is ever unpickled. The card is JSON under the key `rsmtl`: format, the system's configuration, the
spec (with classes, colours and radiometry) and what is known of the training.
"""

import hashlib
import json
import threading
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import safetensors
import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json
from torch import Tensor, nn

from rsmtl.errors import ModelError, explain
from rsmtl.models.exported import SUFFIX, load_exported, save_measured_program
from rsmtl.models.files import write_whole
from rsmtl.models.foreign import foreign
from rsmtl.models.margin import Measured, with_margins
from rsmtl.models.model import Model
from rsmtl.models.registry import System, find_system, system_config
from rsmtl.models.spec import ModelSpec

FORMAT = 1
"""Raised when an older reader could misread a newer file."""
_KEY = "rsmtl"
_DTYPES = ("F64", "F32", "F16", "BF16", "I64")
"""Types that weights are stored in, by their names in safetensors; what is finite is not said of others."""


class Card(BaseModel):
    """What a checkpoint says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    config: dict[str, Any]
    """Configuration of the system that `spec.system` names."""
    spec: ModelSpec
    measured: Measured = Measured()
    """Edge response of each head, and scores by window; see `rsmtl.models.margin`."""
    training: dict[str, Any] = {}
    """Provenance and scores; for people, nothing is decided by it."""


def save_checkpoint(
    path: str | Path, module: nn.Module, card: Card, storage: Literal["fp32", "fp16"] = "fp32"
) -> None:
    """Write a checkpoint; a reader sees the old file or the new one, never a part.

    Parameters
    ----------
    path
        File to write or replace; ends in `.safetensors`.
    module
        Built by the system that `card.spec.system` names.
    storage
        `fp16` halves the file: kernels (tensors of more than one dimension) are rounded to half precision;
        biases and normalisation, whose range may need it, stay as they are. Readers get float32 either way.

    Raises
    ------
    ModelError
        If a weight is not finite, or not in half precision.
    RunError
        If the file cannot be written.
    """
    half = torch.float16 if storage == "fp16" else torch.float32
    weights = {
        name: tensor.detach().cpu().to(half if tensor.ndim > 1 else tensor.dtype).contiguous()
        for name, tensor in module.state_dict().items()
    }
    _refuse_not_finite(weights, f"the checkpoint {path} was not written")
    data = safetensors.torch.save(weights, metadata={_KEY: card.model_dump_json()})
    write_whole(Path(path), data, "checkpoint")


def save_measured(name_or_path: str | Path, path: str | Path, measured: Measured) -> None:
    """Write a checkpoint or program again with what was measured of it in its card; weights stay as they are.

    The margin of each head that was measured becomes that of its spec.

    Raises
    ------
    ModelError
        As `load_model`.
    RunError
        If the file cannot be written.
    """
    source = locate(str(name_or_path))
    if source.suffix == SUFFIX:
        save_measured_program(source, Path(path), measured)
        return
    header, data = _read(source)
    card = _parse_card(header, source)
    card = card.model_copy(update={"spec": with_margins(card.spec, measured), "measured": measured})
    weights = safetensors.torch.load(data)
    write_whole(
        Path(path),
        safetensors.torch.save(weights, metadata={_KEY: card.model_dump_json()}),
        "checkpoint",
    )


def shipped_models() -> tuple[str, ...]:
    """Return the names of the models that come with the package."""
    return tuple(sorted(p.stem for p in _weights_folder().glob("*.safetensors")))


def read_card(name_or_path: str | Path) -> Card:
    """Return what a checkpoint says of itself; errors as `load_model`, and of a `.pt2`, which is no checkpoint."""
    path = locate(str(name_or_path))
    if path.suffix == SUFFIX:
        raise ModelError(
            f"{path} is an exported program, which has no card of a checkpoint: give the checkpoint (.safetensors), or "
            "take its spec from load_model"
        )
    return _parse_card(_read(path)[0], path)


def load_model(name_or_path: str | Path) -> Model:
    """Load a model from a checkpoint.

    Parameters
    ----------
    name_or_path
        Name of a shipped model (`urec-landscape`; `shipped_models()` lists them), or path of a checkpoint
        (`.safetensors`) or of an exported program (`.pt2`).

    Returns
    -------
    Model
        In evaluation mode, float32, on the CPU. It travels to other processes as its source and hash; they
        load the file themselves.

    Raises
    ------
    ModelError
        If there is no such file, it is damaged, a pickle, not one of ours, newer than this program, or its
        weights do not fit its system or are not finite.
    """
    path = locate(str(name_or_path))
    if path.suffix == SUFFIX:
        return load_exported(path)
    header, weights, sha256 = _read_weights(path)
    card = _parse_card(header, path)
    system = find_system(card.spec.system)
    config = system_config(system, card.config)
    _refuse_misfit(weights, _declared(system, config, path), path)
    with torch.random.fork_rng(devices=[]):  # fresh weights must not advance the caller's random numbers
        module = system.build(config)
    _refuse_not_finite(weights, f"the checkpoint {path} cannot be used")
    module.load_state_dict(weights)  # copies, which casts to the module's float32
    shipped = path.parent == _weights_folder()
    return Model(
        spec=card.spec,
        module=module.eval(),
        sha256=sha256,
        source=path.stem if shipped else str(path),
        measured=card.measured,
    )


def reload_model(source: str, sha256: str) -> Model:
    """Load the model that another process sent by its source and hash; once in a process, for all threads.

    Raises
    ------
    ModelError
        If the file here is another than the sender's; and as `load_model`.
    """
    with _reloading:
        return _reload_once(source, sha256)


_reloading = threading.Lock()


@lru_cache(maxsize=2)
def _reload_once(source: str, sha256: str) -> Model:
    model = load_model(source)
    if model.sha256 != sha256:
        raise ModelError(
            f"the checkpoint {source} on this worker has sha256 {model.sha256[:12]}…, the client's has "
            f"{sha256[:12]}…: put the same file on every machine"
        )
    return model


def _weights_folder() -> Path:
    return Path(str(files("rsmtl.models"))) / "weights"


def locate(name_or_path: str) -> Path:
    """Return the file that a name or path means.

    Raises
    ------
    ModelError
        If there is none; the message lists the shipped models.
    """
    shipped = shipped_models()
    if name_or_path in shipped:
        return _weights_folder() / f"{name_or_path}.safetensors"
    path = Path(name_or_path).expanduser().absolute()
    if not path.is_file():
        raise ModelError(
            f"there is no model {name_or_path!r}: give the path of a checkpoint (.safetensors), or one of "
            f"{', '.join(shipped)}"
        )
    return path


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
    """Return header and all bytes of a safetensors file, once its library has found both sound."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read the checkpoint {path}: {error.strerror or error}") from error
    try:
        safetensors.deserialize(data)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        known = foreign(data)
        raise ModelError(
            f"{path} {known}"
            if known
            else f"{path} is no safetensors file, or it is damaged or cut short: {error}"
        ) from error
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]), data


def _read_weights(path: Path) -> tuple[dict[str, Any], dict[str, Tensor], str]:
    header, data = _read(path)
    for name, one in header.items():
        if name != "__metadata__" and one["dtype"] not in _DTYPES:
            raise ModelError(
                f"the checkpoint {path} cannot be used: its weight {name!r} is of type {one['dtype']}, expected one of "
                f"{', '.join(_DTYPES)}; save it with rsmtl.models.save_checkpoint"
            )
    return header, safetensors.torch.load(data), hashlib.sha256(data).hexdigest()


def _parse_card(header: Mapping[str, Any], path: Path) -> Card:
    text = header.get("__metadata__", {}).get(_KEY)
    if text is None:
        raise ModelError(
            f"{path} has weights but no card that says what they are: it was not written by rsmtl; build the "
            "module, load the weights, and wrap it with Model.from_module and a spec"
        )
    try:
        values = from_json(text)  # takes no more than 200 levels; Python's own reader, as many as its stack
        if values["format"] > FORMAT:
            raise ModelError(
                f"{path} has checkpoint format {values['format']}, this rsmtl reads up to {FORMAT}: "
                "install a newer rsmtl"
            )
        return Card.model_validate(values)
    except ValidationError as error:
        raise ModelError(f"the card of {path} is wrong: {explain(error)}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"the card of {path} cannot be read: {error!r}") from error


def _declared(system: System, config: BaseModel, path: Path) -> dict[str, Tensor]:
    """Return the shapes of a system's weights without the memory that they would take: a card may say any width."""
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            return system.build(config).state_dict()
    except RuntimeError as error:  # more bytes than can be counted
        raise ModelError(
            f"the card of {path} describes a {system.name!r} that cannot be built ({str(error).splitlines()[0]}): "
            "give the card its right configuration"
        ) from error


def _refuse_misfit(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> None:
    wrong = [f"{name} is missing" for name in expected if name not in weights]
    wrong += [f"{name} is not of this system" for name in weights if name not in expected]
    wrong += [
        f"{name} has shape {tuple(weights[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise ModelError(f"the weights in {path} do not fit the system its card names: {wrong[0]}{more}")


def _refuse_not_finite(weights: Mapping[str, Tensor], consequence: str) -> None:
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise ModelError(f"{consequence}: its weight {name!r} is not finite (NaN or infinite)")
