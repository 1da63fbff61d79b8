"""The folder of a training: what is in it, and to whom it belongs."""

from pathlib import Path

import yaml

from rsmtl.errors import InputError
from rsmtl.store.place import disk_errors, replacing
from rsmtl.training.config import TrainConfig, read_config

CONFIG_NAME = "config.yaml"
LOG_NAME = "log.jsonl"
STATE_NAME = "state.safetensors"
BEST_NAME = "best.safetensors"
MODEL_NAME = "model.safetensors"
PICTURES_NAME = "pictures"
BOARD_NAME = "tensorboard"
RANKS_NAME = "ranks"
"""Standard output and error of the ranks of a cluster."""


def claim(out: Path, config: TrainConfig, resume: bool) -> Path:
    """Make the folder, and refuse one in which another training wrote: the two would mix.

    Returns
    -------
    Path
        `config.yaml`, which now holds the configuration.

    Raises
    ------
    InputError
        If there is another training and it is not to be resumed, or the folder cannot be made.
    RunError
        If the configuration cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {out}: {error.strerror}") from error
    there = [
        name for name in (LOG_NAME, STATE_NAME, BEST_NAME, MODEL_NAME, CONFIG_NAME) if (out / name).exists()
    ]
    if there and not resume:
        raise InputError(
            f"{out} holds another training ({there[0]}): choose another folder, or go on with it (--resume)"
        )
    if there and _standing(out) != config:
        raise InputError(
            f"{out} holds a training with another configuration than this one ({there[0]}): go on with that "
            "one, or choose another folder"
        )
    path = out / CONFIG_NAME
    with disk_errors(path), replacing(path) as part:
        part.write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
    return path


def _standing(out: Path) -> TrainConfig | None:
    """Return the configuration of the training in a folder; None if none is there that can be read."""
    try:
        return read_config(out / CONFIG_NAME)
    except InputError:
        return None
