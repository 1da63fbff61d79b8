"""Real pairs of PAN and MS, and whether a pansharpened image lies where it should."""

from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rsmtl.scene.open import open_scene
from rsmtl.scene.scene import Scene

FILES = {
    "WorldView-2": ("tile1_pan_0.5m.tif", "tile1_ms_2m.tif"),
    "Landsat 8": ("momotombo_L1TP_pan_15m.tif", "momotombo_L1TP_ms_30m.tif"),
}
"""PAN and MS: of ratio 4; of ratio 2, half a PAN pixel apart, with PAN not exactly twice as large."""


def scene(real_data: Path, name: str) -> Scene:
    pan, ms = (real_data / "pan_ms" / file for file in FILES[name])
    return open_scene({"pan": pan, "ms": ms})


def check_corners(found: xr.DataArray, made_of: Scene) -> None:
    """Assert that an array's first and last pixel centres are those of PAN."""
    pan = made_of.inputs["pan"].geobox
    assert found.shape[-2:] == pan.shape
    assert found.rio.crs == pan.crs
    for axis in ("x", "y"):
        np.testing.assert_allclose(found[axis].values[[0, -1]], pan.coordinates[axis].values[[0, -1]])


def best_shift(image: NDArray, other: NDArray) -> tuple[int, int]:
    """Shift of up to two pixels `(y, x)` of an image at which it correlates most with another, over all bands."""
    inner = np.s_[:, 20:-20, 20:-20]
    usable = np.isfinite(other).all(axis=0)[20:-20, 20:-20]
    found = {}
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            moved = np.roll(image, (dy, dx), axis=(1, 2))[inner]
            bands = zip(moved, other[inner], strict=True)
            found[dy, dx] = np.mean([np.corrcoef(a[usable], b[usable])[0, 1] for a, b in bands])
    return max(found, key=lambda shift: found[shift])
