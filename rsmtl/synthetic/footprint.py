"""Which part of a scene holds an image when it is a slanted strip with a nodata collar around."""

import numpy as np
from numpy.typing import NDArray

from rsmtl.synthetic.noise import Index


def footprint(rows: Index, columns: Index, height: int, width: int) -> NDArray[np.bool_]:
    """Say which pixels lie within a slanted strip whose corners touch the scene's four edges.

    The long edges lean by an eighth of the width, the short ones by a sixteenth of the height.

    Parameters
    ----------
    rows, columns
        `(H,)` and `(W,)` integers, counted from the scene's first pixel; beyond the scene nothing is said.
    height, width
        Of the scene, in the same pixels.

    Returns
    -------
    NDArray[np.bool_]
        `(H, W)`, by whole numbers, so exact.
    """
    y, x = rows.astype(np.int64)[:, None], columns.astype(np.int64)[None, :]
    from_bottom, from_right = height - 1 - y, width - 1 - x
    return _inwards(y, x, height, width) & _inwards(from_bottom, from_right, height, width)


def corners(height: int, width: int, *, slanted: bool) -> list[tuple[int, int]]:
    """Return the corners `(row, column)` of the strip, or of the whole scene, counterclockwise from the top left."""
    lean, drop = _slant(height, width) if slanted else (0, 0)
    return [(0, lean), (height - drop, 0), (height, width - lean), (drop, width)]


def _slant(height: int, width: int) -> tuple[int, int]:
    return width // 8, height // 16


def _inwards(y: Index, x: Index, height: int, width: int) -> NDArray[np.bool_]:
    """Say which pixels lie inwards of the upper and the left edge; the other two are these, turned by 180°."""
    lean, drop = _slant(height, width)
    left = x * (height - drop) + y * lean >= lean * (height - drop)
    top = y * (width - lean) >= (x - lean) * drop
    return left & top
