"""A small data set in the layout of the Brazilian coffee one."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.datasets.vaihingen_fake import write_raster

N_IMAGES = {"guaxupe": 3, "montesanto": 11, "guaranesia": 2}
SHAPE = (128, 96)


def write_fake_coffee(folder: Path) -> None:
    """Write images and masks of three towns as JPEG files."""
    rng = np.random.default_rng(0)
    for town, n_images in N_IMAGES.items():
        for number in range(1, n_images + 1):
            coffee = coffee_of(town, number)
            image = rng.integers(0, 256, (3, SHAPE[0] // 16, SHAPE[1] // 16), dtype=np.uint8)
            write_raster(folder / f"{town}{number}.jpeg", image.repeat(16, 1).repeat(16, 2), "JPEG")
            mask = (255 * coffee).astype(np.uint8)[None]
            bands = mask if number % 2 else mask.repeat(3, 0)
            write_raster(folder / f"{town}{number}_mask.jpeg", bands, "JPEG")


def coffee_of(town: str, number: int) -> NDArray[np.bool_]:
    """Return where coffee is, in blocks of 16 pixels."""
    coarse = np.random.default_rng([len(town), number]).random((SHAPE[0] // 16, SHAPE[1] // 16)) < 0.4
    return coarse.repeat(16, 0).repeat(16, 1)
