"""What of an image lies where the lattice does: contrasts folded by the stride, and what chance would make of them.

Along one axis, a contrast of width w at a place is the mean of w pixels there less that of the ground around them (a
band), or the mean of w pixels behind the place less that of w before it (a step). Its mean over the centres of all
overlaps is compared with the means over places that are chosen on the same lines at random, up to half a stride away.
The lattice is told from the ground by its phase alone, so that nothing need be known of the ground.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

N_DRAWS = 4000
"""Sets of random places that the overlaps are compared with."""
CLIP = 3.0
"""Contrasts count up to so many times their root mean square over all lines and places."""
N_PLACES = 128
"""Places of a line, evenly spread over a stride, that are looked at; fewer where a stride has fewer pixels."""


def contrasts(
    values: NDArray[np.float32], known: NDArray[np.bool_], widths: Sequence[int], shares: bool
) -> Floats:
    """Return the contrasts of a piece of an image, whose lines run along its first axis, as means along it.

    Parameters
    ----------
    values
        `(C, along, across)`, two strides across, with the centre of an overlap in the middle.
    known
        `(along, across)`: pixels that count. A mean is NaN where less than half of its pixels do.
    widths
        In pixels.
    shares
        Whether channels are indicators of classes: the size of a step is then the share of pixels that change.

    Returns
    -------
    ndarray
        `(2 C + 1, widths, places)`: bands and steps of each channel, and the sizes of steps in all, whatever their
        sign, in blocks along the line that are as long as they are wide. Of places within half a stride of the
        middle, which is the middle one.
    """
    filled = np.where(known, values, np.float32(0))
    places = _places(values.shape[2])
    found = np.empty((2 * len(values) + 1, len(widths), len(places)))
    for k, width in enumerate(widths):
        boxes = _Boxes(filled, known, width, places)
        low, gap = -(width // 2), width // 2
        high = low + width
        around = boxes.mean(low - gap - width, low - gap) + boxes.mean(high + gap, high + gap + width)
        change = boxes.mean(0, width) - boxes.mean(-width, 0)
        size = np.abs(change).sum(0) / (2 if shares else len(values))
        found[:, k] = mean_known(np.concatenate([boxes.mean(low, high) - around / 2, change, size[None]]), 1)
    return found


def _places(n_across: int) -> NDArray[np.int64]:
    stride = n_across // 2
    apart = ceil(stride / N_PLACES)
    n_before = stride // 2 // apart
    return stride + apart * np.arange(-n_before, n_before + 1)


class _Boxes:
    """Means of boxes at every place: in blocks along the line that are as long as a width."""

    def __init__(
        self, filled: NDArray[np.float32], known: NDArray[np.bool_], width: int, places: NDArray[np.int64]
    ) -> None:
        self._length = min(width, filled.shape[1])
        n_blocks = filled.shape[1] // self._length
        self._sums, self._counts = (_summed(part, n_blocks, self._length) for part in (filled, known[None]))
        self._places = places

    def mean(self, start: int, stop: int) -> Floats:
        """Return `(channels, blocks, places)`: of the pixels from a place + start to the place + stop."""
        low, high = (np.clip(self._places + end, 0, self._sums.shape[-1] - 1) for end in (start, stop))
        counts = self._counts[..., high] - self._counts[..., low]
        sums = self._sums[..., high] - self._sums[..., low]
        enough = np.broadcast_to(2 * counts >= self._length * (stop - start), sums.shape)
        return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=enough)


def _summed(part: NDArray[np.float32] | NDArray[np.bool_], n_blocks: int, length: int) -> Floats:
    """Return sums over blocks along a line, added up across it from nothing on."""
    n_channels, _, n_across = part.shape
    blocks = part[:, : n_blocks * length].reshape(n_channels, n_blocks, length, n_across)
    added = np.zeros((n_channels, n_blocks, n_across + 1))
    np.cumsum(blocks.sum(2, dtype=np.float64), axis=-1, out=added[..., 1:])
    return added


@dataclass(frozen=True)
class Fold:
    """Contrasts at the centres of overlaps, over all lines, beside what they are elsewhere.

    All are `(2 C + 1, widths)`, in the order of `contrasts`.
    """

    there: Floats
    """The mean over lines."""
    elsewhere: Floats
    """The same at random places, on average."""
    noise: Floats
    """Standard deviation of the same from one set of random places to the next."""
    chance: Floats
    """Share of sets of random places of which some contrast is as many times its noise as this one."""


def fold(lines: Floats, seed: int) -> Fold:
    """Compare the contrasts of all lines at the centres of their overlaps with those at random places.

    Bands and steps may stand out in either direction, sizes only by being greater.

    Parameters
    ----------
    lines
        `(lines, 2 C + 1, widths, places)`, NaN where nothing is known. A line is one piece of evidence, however long it
        is: what it shows may be one road.
    seed
        Of the random places.
    """
    n_lines, n_places = len(lines), lines.shape[-1]
    random = np.random.default_rng(seed).integers(0, n_places, (N_DRAWS, n_lines))
    middle = np.full((1, n_lines), n_places // 2)
    tame = _clipped(lines)
    drawn = np.concatenate([_at(tame, some) for some in np.array_split(random, N_DRAWS // 100)])
    elsewhere = mean_known(drawn, 0)
    noise = np.sqrt(mean_known((drawn - elsewhere) ** 2, 0))
    tops = np.sort(_height(drawn - elsewhere, noise).max((1, 2)))
    reached = N_DRAWS - np.searchsorted(tops, _height(_at(tame, middle)[0] - elsewhere, noise), side="left")
    return Fold(_at(lines, middle)[0], elsewhere, noise, (1 + reached) / (1 + N_DRAWS))


def unexplained(lines: Floats, causes: Floats, within_places: bool = False) -> Floats:
    """Return contrasts less what those of another image, of the same kind and width, explain by a linear fit.

    Parameters
    ----------
    lines
        As for `fold`; a fit is over all lines and places of a contrast.
    causes
        The same of the other image, of as many channels as it has.
    within_places
        Whether to fit only what differs from line to line at a place: a grid, the same on all lines, then has no part
        in the fit and keeps its height. What the other image repeats has none either, and may be left unexplained.
    """
    kinds = [_kinds(part.shape[1]) for part in (lines, causes)]
    rest = np.empty_like(lines)
    for ours, theirs in zip(*kinds, strict=True):
        for row, width in product(range(ours.start, ours.stop), range(lines.shape[2])):
            rest[:, row, width] = _residual(lines[:, row, width], causes[:, theirs, width], within_places)
    return rest


def _kinds(n: int) -> tuple[slice, slice, slice]:
    """Return which are bands, steps and sizes."""
    return slice(0, n // 2), slice(n // 2, n - 1), slice(n - 1, n)


def _residual(y: Floats, causes: Floats, within_places: bool) -> Floats:
    """Return `(lines, places)` less its linear fit by `(lines, causes, places)`."""
    x = np.moveaxis(causes, 1, -1)
    usable = np.isfinite(y) & np.isfinite(x).all(-1)
    if not usable.any():
        return np.full_like(y, np.nan)
    fitted_y, fitted_x = np.where(usable, y, np.nan), np.where(usable[..., None], x, np.nan)
    if within_places:
        fitted_y, fitted_x = fitted_y - mean_known(fitted_y, 0), fitted_x - mean_known(fitted_x, 0)
    centred = fitted_x[usable] - fitted_x[usable].mean(0)
    gains, *_ = np.linalg.lstsq(centred, fitted_y[usable] - fitted_y[usable].mean(), rcond=None)
    rest: Floats = np.where(usable, y - np.nan_to_num(x) @ gains, np.nan)
    return rest


def mean_known(values: Floats, axis: int) -> Floats:
    """Return means without what is NaN; NaN where all is."""
    known = np.isfinite(values)
    sums, counts = np.where(known, values, 0.0).sum(axis), known.sum(axis)
    means: Floats = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return means


def _clipped(lines: Floats) -> Floats:
    """Bound contrasts, so that no single roof or road decides what chance can do."""
    centre = mean_known(mean_known(lines, -1), 0)[None, ..., None]
    spread = np.sqrt(mean_known(mean_known((lines - centre) ** 2, -1), 0))[None, ..., None]
    return np.clip(lines, centre - CLIP * spread, centre + CLIP * spread)


def _at(lines: Floats, places: NDArray[np.int64]) -> Floats:
    """Return `(draws, 2 C + 1, widths)`: means over lines, each at a place of its own, `(draws, lines)`."""
    return mean_known(lines[np.arange(len(lines)), :, :, places], 1)


def _height(excess: Floats, noise: Floats) -> Floats:
    """Return in how many times its noise a contrast stands out; 0 where there is nothing to stand out from."""
    height = np.nan_to_num(np.divide(excess, noise, out=np.zeros_like(excess), where=noise > 0))
    height[..., :-1, :] = np.abs(height[..., :-1, :])
    return height
