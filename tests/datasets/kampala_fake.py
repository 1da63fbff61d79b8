"""A small data set in exactly the layout of the Kampala one: all its tiles, of fewer pixels."""

from itertools import product
from pathlib import Path

import numpy as np

from rsmtl.datasets.kampala import PARENTS
from tests.datasets.vaihingen_fake import write_raster

EDGE_PX = 96


def write_fake_kampala(folder: Path) -> None:
    """Write 112 tiles of z = 21 and 28 of z = 20; the upper half of each mask is building."""
    image = np.random.default_rng(0).integers(0, 256, (3, EDGE_PX, EDGE_PX), dtype=np.uint8)
    mask = np.zeros((1, EDGE_PX, EDGE_PX), dtype=np.uint8)
    mask[:, : EDGE_PX // 2] = 1
    for x, y in PARENTS:
        children = [f"OAM-{2 * x + i}-{2 * y + j}-21.tif" for i, j in product(range(2), range(2))]
        for name in (f"OAM-{x}-{y}-20.tif", *children):
            write_raster(folder / "images" / name, image)
            write_raster(folder / "masks" / name, mask)
