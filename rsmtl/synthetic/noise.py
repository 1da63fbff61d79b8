"""Random numbers that belong to places: every value is a function of a key and of integer coordinates.

Nothing here keeps a state, so any part of the world can be computed on its own and agrees with its neighbours to
the last bit. Only operations that IEEE 754 rounds exactly are used on arrays (+, −, ×, /, sqrt, floor), so the
result does not depend on an array's shape either.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U32 = NDArray[np.uint32]
Index = NDArray[np.intp]

_WORD = 0xFFFFFFFF
_GOLDEN = 0x9E3779B1
_UNIT_STD = 6.3
"""What takes the standard deviation of a quadratic B-spline over uniform numbers in ±0.5 to about one."""


def key(seed: int, *salts: int) -> int:
    """Return a 32-bit key for one use of randomness in the world of `seed`."""
    word = _mix_int(seed & _WORD ^ _GOLDEN)
    word = _mix_int(word ^ (seed >> 32) & _WORD)
    for salt in salts:
        word = _mix_int(word ^ (salt * _GOLDEN & _WORD))
    return word


def bits(key: int, *coordinates: NDArray[np.integer]) -> U32:
    """Return 32 random bits for each tuple of integer coordinates (arrays that broadcast)."""
    words = np.array(key, np.uint32)
    for coordinate in coordinates:
        words = _mix(words ^ (coordinate.astype(np.uint32) * np.uint32(_GOLDEN)))
    return words


def uniform(key: int, *coordinates: NDArray[np.integer]) -> F32:
    """Return float32 in [0, 1) for each tuple of integer coordinates (arrays that broadcast)."""
    return (bits(key, *coordinates) >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def normal(key: int, *coordinates: NDArray[np.integer]) -> F32:
    """Return float32 of mean 0 and variance 1, the sum of four uniform bytes (Irwin-Hall), cut off at ±3.5."""
    words = bits(key, *coordinates)
    total = (words & np.uint32(0x00FF00FF)) + ((words >> np.uint32(8)) & np.uint32(0x00FF00FF))
    total = (total & np.uint32(0xFFFF)) + (total >> np.uint32(16))
    return (total.astype(np.float32) - np.float32(510.0)) * np.float32(1 / 147.8)


def spline_noise(key: int, cell_m: float, y: F64, x: F64) -> F32:
    """Return smooth noise of about unit variance at points in metres.

    A quadratic B-spline over uniform random numbers at the nodes of a lattice of `cell_m`: continuous with its
    gradient, and with little trace of the lattice's axes. `y` and `x` broadcast against each other.
    """
    row, row_weights = _spline_axis(y / cell_m)
    column, column_weights = _spline_axis(x / cell_m)
    first_row, first_column = row.min() - 1, column.min() - 1
    nodes = uniform(
        key,
        np.arange(first_row, row.max() + 2)[:, None],
        np.arange(first_column, column.max() + 2)[None, :],
    ) - np.float32(0.5)
    row, column = row - first_row, column - first_column
    total = np.zeros(np.broadcast_shapes(y.shape, x.shape), np.float32)
    for dy, row_weight in zip((-1, 0, 1), row_weights, strict=True):
        for dx, column_weight in zip((-1, 0, 1), column_weights, strict=True):
            total += nodes[row + dy, column + dx] * row_weight * column_weight
    return total * np.float32(_UNIT_STD)


def upsample(step_m: float, y: F64, x: F64, nodes: Callable[[Index, Index], F32]) -> F32:
    """Interpolate bilinearly between nodes that lie at whole multiples of `step_m`.

    Parameters
    ----------
    step_m
        Distance of the nodes.
    y, x
        `(H,)` and `(W,)` metres of the pixel centres.
    nodes
        Takes node rows `(n, 1)` and node columns `(1, m)` as integers and returns their values `(..., n, m)`.

    Returns
    -------
    F32
        `(..., H, W)`.
    """
    row, fy = _linear_axis(y / step_m)
    column, fx = _linear_axis(x / step_m)
    first_row, first_column = row[0], column[0]
    values = nodes(
        np.arange(first_row, row[-1] + 2)[:, None], np.arange(first_column, column[-1] + 2)[None, :]
    )
    row, column = row - first_row, column - first_column
    upper, lower = values[..., row, :], values[..., row + 1, :]
    lines = upper + (lower - upper) * fy[:, None]
    slopes = lines[..., 1:] - lines[..., :-1]
    return np.asarray(np.take(lines, column, axis=-1) + np.take(slopes, column, axis=-1) * fx)


def grain(key: int, step_m: float, y: F64, x: F64) -> F32:
    """Return value noise of a texture: random nodes of mean 0 in ±1 at every `step_m`, bilinear in between."""
    return upsample(
        step_m, y, x, lambda row, column: uniform(key, row, column) * np.float32(2) - np.float32(1)
    )


def _mix(words: U32) -> U32:
    """Scramble 32-bit words (the `lowbias32` constants of C. Wellons' hash prospector)."""
    words = (words ^ (words >> np.uint32(16))) * np.uint32(0x7FEB352D)
    words = (words ^ (words >> np.uint32(15))) * np.uint32(0x846CA68B)
    return words ^ (words >> np.uint32(16))


def _mix_int(word: int) -> int:
    word = (word ^ (word >> 16)) * 0x7FEB352D & _WORD
    word = (word ^ (word >> 15)) * 0x846CA68B & _WORD
    return word ^ (word >> 16)


def _spline_axis(t: F64) -> tuple[Index, tuple[F32, F32, F32]]:
    index = np.floor(t)
    f = (t - index).astype(np.float32)
    half, one = np.float32(0.5), np.float32(1)
    return index.astype(np.intp), (half * (one - f) * (one - f), half + f * (one - f), half * f * f)


def _linear_axis(t: F64) -> tuple[Index, F32]:
    index = np.floor(t)
    return index.astype(np.intp), (t - index).astype(np.float32)
