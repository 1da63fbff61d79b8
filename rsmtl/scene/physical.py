"""From the numbers a file stores to the physical values the rest of the package works with."""

from collections.abc import Sequence
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from rsmtl.errors import SceneError


def to_physical(
    stored: NDArray[np.generic],
    nodata: Sequence[float | None],
    scale: Sequence[float],
    offset: Sequence[float],
    *,
    together: bool = False,
) -> NDArray[np.float32]:
    """Return `stored × scale + offset` band by band, NaN where a band holds its sentinel.

    float32 holds integers up to 2^24 exactly, so every 8 and 16 bit value survives; larger 32 and 64 bit
    integers and doubles are rounded to the nearest float32 (relative error at most 6e-8). The sentinel is
    compared before rounding, and scaling is done in float64.

    Parameters
    ----------
    stored
        `(bands, H, W)` of any real dtype. NaN stays NaN.
    nodata, scale, offset
        One entry per band; a sentinel that the dtype cannot hold matches nothing.
    together
        Whether a pixel is invalid only where all bands hold their sentinels, and then in all.
    """
    with np.errstate(over="ignore"):  # a double beyond float32 becomes inf, which is not valid either
        values = stored.astype(np.float32)
        for band, (a, b) in enumerate(zip(scale, offset, strict=True)):
            if a != 1.0 or b != 0.0:
                values[band] = stored[band].astype(np.float64) * a + b
    sentinels = [_as_stored(sentinel, stored.dtype) for sentinel in nodata]
    if together and None not in sentinels:
        empty = np.logical_and.reduce([band == one for band, one in zip(stored, sentinels, strict=True)])
        values[:, empty] = np.nan
        return values
    for band, matchable in enumerate(sentinels):
        if matchable is not None:
            np.putmask(values[band], stored[band] == matchable, np.float32(np.nan))
    return values


def check_scaling(what: str, scale: Sequence[float], offset: Sequence[float]) -> None:
    """Refuse a scale or an offset that leaves nothing of the values.

    Raises
    ------
    SceneError
        If one is not finite, or a scale is zero.
    """
    for a, b in zip(scale, offset, strict=True):
        if not (isfinite(a) and isfinite(b) and a):
            raise SceneError(
                f"{what} has values that are to be multiplied by {a:g} with {b:g} added, which leaves none: correct "
                "its scale and offset, for example with `gdal_translate -a_scale 1 -a_offset 0`"
            )


def _as_stored(sentinel: float | None, dtype: np.dtype[np.generic]) -> np.generic | None:
    """Return the sentinel as a number of `dtype`, or None if no pixel can equal it."""
    if sentinel is None or np.isnan(sentinel):
        return None
    if dtype.kind == "f":
        return dtype.type(sentinel)
    number = int(sentinel) if np.isfinite(sentinel) and dtype.kind in "iu" else None
    if number is None or number != sentinel or np.array(number).astype(dtype) != number:
        return None
    return dtype.type(number)
