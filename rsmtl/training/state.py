"""The state of a training on the disk: all that the next step depends on, in one safetensors file, never pickled."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from rsmtl.errors import InputError
from rsmtl.store.place import replacing

_FORMAT = 1


@dataclass
class Progress:
    """How far a training has come, and what it will need to know of the way."""

    epoch: int = 0
    """The epoch that is under way, counted from 0."""
    step: int = 0
    """Steps of it that are done."""
    losses: dict[str, float] = field(default_factory=dict)
    """Sum over these steps of each weighted term."""
    best: float | None = None
    """The best validation score so far."""
    best_epoch: int | None = None
    log_bytes: int = 0
    """Length of the log; what a killed process wrote after its last checkpoint is cut off."""


@dataclass
class Trained:
    """What steps change."""

    module: nn.Module
    optimizer: Optimizer
    average: nn.Module | None
    """Moving average of the weights."""


def fingerprint(config: dict[str, Any]) -> str:
    """Return what tells one configuration from another."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def save_state(path: Path, trained: Trained, progress: Progress, config: dict[str, Any]) -> None:
    """Write the state; a reader sees the old file or the whole new one.

    Raises
    ------
    RunError
        If it cannot be written.
    """
    header = {"format": _FORMAT, "fingerprint": fingerprint(config), "progress": asdict(progress)}
    data = safetensors.torch.save(_tensors(trained), metadata={"rsmtl_state": json.dumps(header)})
    with replacing(path) as part:
        part.write_bytes(data)


def load_state(path: Path, trained: Trained, config: dict[str, Any]) -> Progress:
    """Put a state into modules and optimiser, which keep their places in memory; return how far it had come.

    Raises
    ------
    InputError
        If the file is damaged, of a newer rsmtl, or of another configuration.
    """
    try:
        data = path.read_bytes()
        tensors = safetensors.torch.load(data)
        metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        header = json.loads(metadata["rsmtl_state"])
        progress, version, owner = Progress(**header["progress"]), header["format"], header["fingerprint"]
    except (OSError, safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not the state of a training, or it is damaged ({error}): train anew in another folder"
        ) from error
    if version > _FORMAT:
        raise InputError(f"{path} was written by a newer rsmtl: install that to go on")
    if owner != fingerprint(config):
        raise InputError(
            f"{path} is the state of a training with another configuration: go on with that one, or train anew in "
            "another folder"
        )
    _restore(trained, tensors)
    return progress


def _tensors(trained: Trained) -> dict[str, Tensor]:
    """Return all tensors by name. Memory that modules share is written as often as it is named."""
    named = {f"module/{name}": value for name, value in trained.module.state_dict().items()}
    if trained.average is not None:
        named |= {f"average/{name}": value for name, value in trained.average.state_dict().items()}
    for number, moments in trained.optimizer.state_dict()["state"].items():
        named |= {f"optimizer/{number}/{name}": value for name, value in moments.items()}
    return {name: value.detach().cpu().contiguous().clone() for name, value in named.items()}


def _restore(trained: Trained, tensors: dict[str, Tensor]) -> None:
    parts: dict[str, dict[str, Tensor]] = {"module": {}, "average": {}, "optimizer": {}}
    for name, value in tensors.items():
        part, _, rest = name.partition("/")
        parts[part][rest] = value
    with torch.no_grad():
        trained.module.load_state_dict(parts["module"])
        if trained.average is not None:
            trained.average.load_state_dict(parts["average"])
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in parts["optimizer"].items():
        number, _, key = name.partition("/")
        moments.setdefault(int(number), {})[key] = value
    groups = trained.optimizer.state_dict()["param_groups"]
    trained.optimizer.load_state_dict({"state": moments, "param_groups": groups})
