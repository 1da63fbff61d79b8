"""Sums over sliding windows, each the same to the bit wherever the array was cut around it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsmtl.metrics.metric import Part

Array = NDArray[np.float64]


def box_sums(values: NDArray[Any], size: int) -> Array:
    """Return the sums over `size`×`size` pixels, `(…, H − size + 1, W − size + 1)` float64; element i begins at i.

    `size` must be a power of two: sums are doubled, first down, then across, always in the same order.
    """
    return _doubled(_doubled(values.astype(np.float64), size, -2), size, -1)


def _doubled(values: Array, size: int, axis: int) -> Array:
    length = values.shape[axis]
    if length < size:
        return np.take(values, [], axis=axis)
    reach, sums = 1, values
    while reach < size:
        n = length - 2 * reach + 1
        sums = np.take(sums, range(n), axis=axis) + np.take(sums, range(reach, reach + n), axis=axis)
        reach *= 2
    return sums


def begins_in_own(part: Part, size: int) -> tuple[slice, slice]:
    """Return where, in a map of windows, those lie that begin in the part's rectangle."""
    limits = (length - size + 1 for length in part.valid.shape)
    rows, cols = (
        slice(own.start, max(own.start, min(own.stop, limit)))
        for own, limit in zip(part.own, limits, strict=True)
    )
    return rows, cols


def all_valid(part: Part, size: int) -> NDArray[np.bool_]:
    """Return which of the windows that begin in the part's rectangle have valid pixels only."""
    counted = _fill(part.valid, size)
    return counted[begins_in_own(part, size)]


def _fill(valid: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """Erode: whether each `size`×`size` window is valid throughout."""
    if min(valid.shape) < size:
        return np.zeros((0, 0), bool)
    invalid = np.pad(np.cumsum(np.cumsum(~valid, axis=0), axis=1), ((1, 0), (1, 0)))
    n = invalid[size:, size:] - invalid[:-size, size:] - invalid[size:, :-size] + invalid[:-size, :-size]
    return np.asarray(n == 0)


def filled(values: NDArray[Any], valid: NDArray[np.bool_]) -> Array:
    """Return values `(…, H, W)` float64 with zeros where not valid, so that NaN stays out of neighbouring windows."""
    return np.where(valid, values, 0).astype(np.float64)
