"""The smooth fields of a world: rivers, lakes, woods, and the warp that makes straight things curved."""

from dataclasses import dataclass

import numpy as np

from rsmtl.synthetic import noise
from rsmtl.synthetic.noise import F32, F64

RIVER_M = 820.0
"""Mean distance of the rivers, which run side by side."""


@dataclass(frozen=True)
class Terrain:
    """The smooth fields; each `(...)` float32. Distances are negative inside."""

    shift_y: F32
    """Metres by which estates and roads are warped at each point, southwards."""
    shift_x: F32
    """The same, eastwards."""
    river_m: F32
    """Distance to the nearest river."""
    lake_m: F32
    """About the distance to the nearest lake."""
    wood_m: F32
    """About the distance to the nearest wood."""
    needles: F32
    """Above 0.25 the trees are conifers."""


def terrain(seed: int, y: F64, x: F64) -> Terrain:
    """Return the smooth fields of the world of `seed` at points in metres (`y` and `x` broadcast)."""

    def field(salt: int, cell_m: float) -> F32:
        return noise.spline_noise(noise.key(seed, salt), cell_m, y, x)

    return Terrain(
        shift_y=np.float32(34) * field(1, 330.0) + np.float32(4) * field(2, 80.0),
        shift_x=np.float32(34) * field(3, 330.0) + np.float32(4) * field(4, 80.0),
        river_m=_river(seed, y, x),
        lake_m=(np.float32(2.05) - field(15, 150.0) - np.float32(0.16) * field(16, 40.0)) * np.float32(55),
        wood_m=(np.float32(1.05) - (field(20, 210.0) + np.float32(0.35) * field(21, 60.0))) * np.float32(60),
        needles=field(22, 150.0),
    )


def _river(seed: int, y: F64, x: F64) -> F32:
    angle = noise.key(seed, 10) / 2**32 * np.pi
    # Coarse steps keep the two numbers the same on every machine.
    sine, cosine = (round(float(f(angle)) * 4096) / 4096 for f in (np.sin, np.cos))

    def line(y: F64, x: F64) -> F64:
        wide = noise.spline_noise(noise.key(seed, 11), 340.0, y, x).astype(np.float64)
        narrow = noise.spline_noise(noise.key(seed, 12), 95.0, y, x).astype(np.float64)
        return y * cosine + x * sine + 130.0 * wide + 17.0 * narrow

    here, step = line(y, x), 2.0
    slope_y, slope_x = (line(y + step, x) - here) / step, (line(y, x + step) - here) / step
    steepness = np.sqrt(slope_y * slope_y + slope_x * slope_x + 0.02)
    turns = here / RIVER_M
    middle = np.abs(turns - np.floor(turns) - 0.5) * RIVER_M
    half_width = np.float32(10) + np.float32(3) * noise.spline_noise(noise.key(seed, 13), 220.0, y, x)
    return (middle / steepness).astype(np.float32) - half_width
