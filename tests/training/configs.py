"""Small trainings."""

from pathlib import Path
from typing import Any

import yaml

from rsmtl.training import TrainConfig

TINY: dict[str, Any] = {
    "system": "urec",
    "model": {"width": 2},
    "data": {"name": "landscape", "n_train": 1, "n_validation": 1, "n_test": 1, "size_px": 64},
    "sampling": {"patch_px": 32, "patches_per_epoch": 48},
    "epochs": 2,
    "batch": 6,
    "optimizer": {"lr": 1e-3},
    "validation_px": 64,
    "torch_threads": 1,
}
"""Eight steps an epoch, on landscapes, which need no files."""


def tiny(path: Path | None = None, **changed: Any) -> TrainConfig:
    """Return the configuration, changed; write it to a file if there is a path."""
    config = TrainConfig.model_validate({**TINY, **changed})
    if path is not None:
        path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    return config
