"""Two small pairs in exactly the layout of the WorldView-2 ones."""

from pathlib import Path

import numpy as np

from tests.datasets.vaihingen_fake import write_raster

EDGE_PX = 600
NODATA_PX = 196
"""Rows without data at the top of the second tile."""


def write_fake_pan_ms(folder: Path) -> None:
    """Write both tiles: MS in four bands, PAN their mean at four times the pixels."""
    rng = np.random.default_rng(0)
    for tile in ("tile1", "tile2"):
        ms = rng.integers(100, 2048, (4, EDGE_PX // 4, EDGE_PX // 4), dtype=np.uint16)
        if tile == "tile2":
            ms[:, : NODATA_PX // 4] = 0
        pan = ms.mean(axis=0, keepdims=True).astype(np.uint16).repeat(4, 1).repeat(4, 2)
        write_raster(folder / f"{tile}_pan_0.5m.tif", pan)
        write_raster(folder / f"{tile}_ms_2m.tif", ms)
