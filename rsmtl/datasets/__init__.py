"""Labelled data: read or render them, split them without leaks, draw patches from them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import Field

from rsmtl.datasets.coffee import CoffeeData
from rsmtl.datasets.dstl import DstlData
from rsmtl.datasets.dubai import DubaiData
from rsmtl.datasets.kampala import KampalaData
from rsmtl.datasets.landscape import LandscapeData
from rsmtl.datasets.pan_ms import PanMsData
from rsmtl.datasets.patches import Patches, Place, Sampling, check_sampling, read_window, windows_of
from rsmtl.datasets.prepared import open_prepared
from rsmtl.datasets.scene import LABELS, About, LabelledScene, Layer, SceneSource, Splits, open_splits
from rsmtl.datasets.scenes import ScenesData
from rsmtl.datasets.thetford import ThetfordData
from rsmtl.datasets.vaihingen import VaihingenData

DataConfig = Annotated[
    CoffeeData
    | DstlData
    | DubaiData
    | KampalaData
    | LandscapeData
    | PanMsData
    | ScenesData
    | ThetfordData
    | VaihingenData,
    Field(discriminator="name"),
]
"""Configuration of a data set; its `name` says of which."""


def load_splits(config: DataConfig, data_root: Path, alive: Callable[[], None] = lambda: None) -> Splits:
    """Open the data set that a configuration names.

    Parameters
    ----------
    data_root
        Folder that holds data sets: prepared ones as `NAME.zarr`, which go first, others in a folder `NAME` as they
        are distributed. The paths of `scenes` are relative to it.
    alive
        Called after each scene that is read.

    Raises
    ------
    InputError
        If something is missing or broken.
    """
    prepared = data_root / f"{config.name}.zarr"
    if prepared.exists():
        splits = open_prepared(prepared, config.model_dump(mode="json"))
        return replace(splits, about=replace(splits.about, gsd_m=config.about().gsd_m))
    return open_splits(config.about(), config.sources(folder_of(config, data_root)), alive)


def folder_of(config: DataConfig, data_root: Path) -> Path:
    """Return the folder in which a data set lies as it is distributed."""
    return data_root if isinstance(config, ScenesData) else data_root / config.name


__all__ = [
    "LABELS",
    "About",
    "CoffeeData",
    "DataConfig",
    "DstlData",
    "DubaiData",
    "KampalaData",
    "LabelledScene",
    "LandscapeData",
    "Layer",
    "PanMsData",
    "Patches",
    "Place",
    "Sampling",
    "SceneSource",
    "ScenesData",
    "Splits",
    "ThetfordData",
    "VaihingenData",
    "check_sampling",
    "load_splits",
    "open_splits",
    "read_window",
    "windows_of",
]
