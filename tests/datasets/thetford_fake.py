"""A small data set in the layout of the GRSS Data Fusion Contest of 2014."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.datasets.vaihingen_fake import write_raster

TRAINING, TEST = (150, 167), (96, 112)


def write_fake_thetford(folder: Path, numbers: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6, 7)) -> None:
    """Write the two scenes with their maps as ENVI files, in a folder each.

    Parameters
    ----------
    numbers
        What unlabelled, the six classes and bare soil are in the maps.
    """
    rng = np.random.default_rng(0)
    for place, image, name, shape in (
        ("subset", "TelopsDatasetCityVisible_20cm_Subset.img", "TrainingMap_ENVI_RAW_format.raw", TRAINING),
        ("full", "TelopsDatasetCityVisible.img", "TestMap_ENVI_RAW_format.raw", TEST),
    ):
        write_raster(folder / place / image, rng.integers(0, 256, (3, *shape), dtype=np.uint16), "ENVI")
        labels = np.array(numbers, dtype=np.uint8)[map_of(shape)]
        write_raster(folder / place / name, labels[None], "ENVI")


def map_of(shape: tuple[int, int]) -> NDArray[np.integer]:
    """Return 0, unlabelled, to 7, bare soil, in blocks of 8 pixels."""
    coarse = np.random.default_rng(shape).integers(0, 8, (shape[0] // 8 + 1, shape[1] // 8 + 1))
    return coarse.repeat(8, 0).repeat(8, 1)[: shape[0], : shape[1]]
