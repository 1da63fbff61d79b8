"""What a shell completes: names that come with rsmtl. It asks at every press of Tab, so nothing heavy is imported."""

from pathlib import Path

import rsmtl

CLASSICAL = ("bayesian", "brovey", "gsa", "lmvm")
DATA_SETS = ("coffee", "dstl", "dubai", "kampala", "landscape", "pan_ms", "thetford", "vaihingen")
"""That need no options. The lists stand here too, since those who own them import PyTorch; a test compares them."""


def model_names(incomplete: str) -> list[str]:
    """Return models that come with rsmtl, and classical methods."""
    return _beginning(incomplete, (*_files("models/weights/*.safetensors"), *CLASSICAL))


def preset_names(incomplete: str) -> list[str]:
    """Return training configurations that come with rsmtl."""
    return _beginning(incomplete, _files("training/presets/*.yaml"))


def data_set_names(incomplete: str) -> list[str]:
    """Return data sets, and training configurations that name one."""
    return _beginning(incomplete, (*DATA_SETS, *_files("training/presets/*.yaml")))


def _files(pattern: str) -> tuple[str, ...]:
    return tuple(path.stem for path in Path(rsmtl.__file__).parent.glob(pattern))


def _beginning(incomplete: str, names: tuple[str, ...]) -> list[str]:
    return sorted({name for name in names if name.startswith(incomplete)})
