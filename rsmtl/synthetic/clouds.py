"""Soft white clouds and the shadows that they throw."""

import numpy as np

from rsmtl.synthetic import noise
from rsmtl.synthetic.frame import Frame
from rsmtl.synthetic.noise import F32, Index
from rsmtl.synthetic.surface import SUN

_HEIGHT_M = 70.0
"""Horizontal way from a cloud to its shadow. Lower than real clouds, so that both fit into small scenes."""
_STEP_M = 6.0
_SHADOW_LIGHT = 0.25


def veil(seed: int, frame: Frame) -> tuple[F32, F32]:
    """Return the clouds over a frame.

    Returns
    -------
    opacity, light
        `(H, W)` float32 each: 0 to 1, how much of the ground a cloud hides; and the share of sunlight left under it.
    """

    def nodes(row: Index, column: Index) -> F32:
        y, x = (axis.astype(np.float64) * _STEP_M for axis in (row, column))
        return np.stack(
            [
                _opacity(seed, y, x),
                _opacity(seed, y + SUN[0] * _HEIGHT_M, x + SUN[1] * _HEIGHT_M),
            ]
        )

    opacity, above = noise.upsample(_STEP_M, frame.y, frame.x, nodes)
    return opacity, 1 - above * np.float32(1 - _SHADOW_LIGHT)


def _opacity(seed: int, y: noise.F64, x: noise.F64) -> F32:
    thickness = np.full(np.broadcast_shapes(y.shape, x.shape), -1.45, np.float32)
    for salt, (cell_m, share) in enumerate(((260.0, 1.0), (90.0, 0.45), (34.0, 0.22), (13.0, 0.10))):
        thickness += np.float32(share) * noise.spline_noise(noise.key(seed, 100, salt), cell_m, y, x)
    t = np.clip(thickness * np.float32(1.4), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)
