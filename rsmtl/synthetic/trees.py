"""Crowns: one disc with a shaded dome in each cell of a jittered lattice, wherever trees stand close enough."""

from dataclasses import dataclass

import numpy as np

from rsmtl.synthetic import noise
from rsmtl.synthetic.frame import Frame
from rsmtl.synthetic.noise import F32, F64, Index

CROWN_M = 6.2
"""Edge of a cell, and so the mean distance of the crowns of a wood."""
_JITTER = 0.62
_LARGEST = 0.68
"""Radius in cells. `_JITTER / 2 + _LARGEST ≤ 1`, so the four nearest cells hold every crown over a pixel."""
REACH_M = CROWN_M * 1.5
"""How far the middle of a crown may lie from a pixel that looks at it."""


@dataclass(frozen=True)
class Canopy:
    """Crowns as seen from above, each `(H, W)` float32."""

    height_m: F32
    """Of the leaves above the ground; 0 where there is no crown."""
    shading: F32
    """Brightness of the dome under the sun, about 1."""
    tone: F32
    """Brightness of the crown's kind, about 1."""


def canopy(seed: int, frame: Frame, density: F32, around: Frame, sun: tuple[float, float]) -> Canopy:
    """Return the canopy over a frame.

    Parameters
    ----------
    seed
        Of the world.
    frame
        Where.
    density
        Chance of a crown whose middle is at that pixel, over `around`.
    around
        A frame that reaches `REACH_M` farther than `frame` on every side.
    sun
        Horizontal unit vector towards the sun, `(y, x)`.
    """
    row, y = _nearest_cells(frame.y)
    column, x = _nearest_cells(frame.x)
    crowns = _crowns(
        seed, np.arange(row[0], row[-1] + 2), np.arange(column[0], column[-1] + 2), density, around
    )
    row, column = row - row[0], column - column[0]
    height, shading, tone = (np.full(frame.shape, value, np.float32) for value in (0, 1, 1))
    for down in (0, 1):
        for right in (0, 1):
            middle_y, middle_x, reach, top, kind = (
                np.take(table[row + down], column + right, axis=1) for table in crowns
            )
            dy = (y[:, None] - np.float32(down) - middle_y) * reach
            dx = (x[None, :] - np.float32(right) - middle_x) * reach
            dome = np.float32(1) - (dy * dy + dx * dx)
            here = top * (np.float32(0.55) + np.float32(0.45) * dome)
            over = (dome > 0) & (here > height)
            np.copyto(height, here, where=over)
            np.copyto(shading, 1 + np.float32(0.5 * sun[0]) * dy + np.float32(0.5 * sun[1]) * dx, where=over)
            np.copyto(tone, kind, where=over)
    return Canopy(height, shading, tone)


def _nearest_cells(position: F64) -> tuple[Index, F32]:
    """Return the first of the two cells whose middles are nearest, and the way from its middle, in cells."""
    t = position / CROWN_M - 0.5
    cell = np.floor(t)
    return cell.astype(np.intp), (t - cell).astype(np.float32)


def _crowns(
    seed: int, rows: Index, columns: Index, density: F32, around: Frame
) -> tuple[F32, F32, F32, F32, F32]:
    """Return tables over cells, in cells from their middles: y, x, one over the radius; and height (0: none), tone."""
    row, column = rows[:, None], columns[None, :]

    def draw(salt: int) -> F32:
        return noise.uniform(noise.key(seed, 70, salt), row, column)

    y, x = ((draw(salt) - np.float32(0.5)) * np.float32(_JITTER) for salt in (0, 1))
    pixel_y = (
        np.floor((row + 0.5 + y.astype(np.float64)) * CROWN_M / around.gsd_m).astype(np.intp) - around.row
    )
    pixel_x = (
        np.floor((column + 0.5 + x.astype(np.float64)) * CROWN_M / around.gsd_m).astype(np.intp)
        - around.column
    )
    # Crowns in the outermost cells may stand beyond the frame around; they reach no pixel.
    chance = density[np.clip(pixel_y, 0, around.height - 1), np.clip(pixel_x, 0, around.width - 1)]
    stands = draw(2) < chance
    size = draw(3)
    reach = np.float32(1) / (np.float32(0.40) + np.float32(_LARGEST - 0.40) * size)
    top = np.where(stands, 4.5 + 4.0 * size + 1.5 * draw(4), 0).astype(np.float32)
    return y, x, reach, top, np.float32(0.82) + np.float32(0.36) * draw(5)
