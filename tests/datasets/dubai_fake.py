"""A small data set in exactly the layout of the Dubai one."""

import warnings
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

from rsmtl.datasets.dubai import MASK_COLORS

PALETTE_TILES = (2, 4)
UNLABELED = (0x9B, 0x9B, 0x9B)
COLORS = np.array([*MASK_COLORS, UNLABELED], dtype=np.uint8)


def write_fake_dubai(folder: Path, images_per_tile: int = 1, shape: tuple[int, int] = (96, 80)) -> None:
    """Write eight tiles; the masks of tiles 2 and 4 are palette files, in an order of their own."""
    rng = np.random.default_rng(0)
    for tile in range(1, 9):
        for part in range(1, images_per_tile + 1):
            stem = folder / f"tile{tile}" / f"image_part_{part:03d}"
            stem.parent.mkdir(parents=True, exist_ok=True)
            labels = rng.integers(0, 6, (shape[0] // 16, shape[1] // 16)).repeat(16, 0).repeat(16, 1)
            colors = COLORS[labels].transpose(2, 0, 1)
            write_image(stem.with_suffix(".jpg"), colors, driver="JPEG")
            if tile in PALETTE_TILES:
                write_palette(stem.with_suffix(".png"), labels)
            else:
                write_image(stem.with_suffix(".png"), colors, driver="PNG")


def write_image(path: Path, bands: NDArray[np.uint8], driver: str) -> None:
    """Write `(B, H, W)` uint8."""
    count, height, width = bands.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver, width, height, count, dtype="uint8") as file:
            file.write(bands)


def write_palette(path: Path, labels: NDArray[np.integer]) -> None:
    """Write class indices as a palette file whose numbers are not the classes' numbers."""
    numbers = (5 - labels).astype(np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", "PNG", labels.shape[1], labels.shape[0], 1, dtype="uint8") as file:
            file.write(numbers, 1)
            file.write_colormap(1, {5 - i: (*map(int, color), 255) for i, color in enumerate(COLORS)})
