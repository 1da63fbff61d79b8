"""Labelled data: read or render them, split them without leaks, draw patches from them."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from rsmtl.datasets.dubai import DubaiData, load_dubai
from rsmtl.datasets.landscape import LandscapeData, load_landscape
from rsmtl.datasets.patches import LabelledScene, Patches, Sampling, Splits, scene_windows

DataConfig = Annotated[DubaiData | LandscapeData, Field(discriminator="name")]
"""Configuration of a data set; its `name` says of which."""


def load_splits(config: DubaiData | LandscapeData, data_root: Path) -> Splits:
    """Load the data set that a configuration names; one that comes as files has its folder in `data_root`."""
    match config:
        case DubaiData():
            return load_dubai(data_root / "dubai")
        case LandscapeData():
            return load_landscape(config)


__all__ = [
    "DataConfig",
    "DubaiData",
    "LabelledScene",
    "LandscapeData",
    "Patches",
    "Sampling",
    "Splits",
    "load_dubai",
    "load_landscape",
    "load_splits",
    "scene_windows",
]
