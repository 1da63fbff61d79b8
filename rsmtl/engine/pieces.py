"""Pieces of the lines between windows, chosen at random, so that what is read does not grow with the scene."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsmtl.lattice import Axis

N_PIECES = 24
"""Of horizontal lines, and of vertical ones."""
N_TRIED = 4 * N_PIECES
"""Pieces that are read to find so many, where there is much nodata."""
PIECE_PX = 2**18
"""Pixels of a piece: two strides across the line, and as many along it as this leaves, within the bounds below."""
ALONG_PX = (16, 512)


@dataclass(frozen=True)
class Piece:
    """A part of a line between windows, with a stride before and a stride behind it."""

    axis: int
    """Along which one crosses the line: 0, that is y, for a horizontal one."""
    centre: int
    """Of the overlap."""
    across: tuple[int, int]
    """First pixel before the line and last behind it; they may lie outside the image."""
    along: tuple[int, int]
    length: int
    """Of the image, across the line."""
    crossed: tuple[int, int, int]
    """Of the other lines: where the overlap of one begins and ends, and how far it is to the next."""

    @property
    def region(self) -> tuple[slice, slice]:
        """Rows and columns within the image."""
        inside = slice(max(0, self.across[0]), min(self.length, self.across[1]))
        along = slice(*self.along)
        return (inside, along) if self.axis == 0 else (along, inside)

    def arranged(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return values of the region, `(…, H, W)`, as `(…, along, across)`, with zeros outside the image."""
        turned = values.swapaxes(-1, -2) if self.axis == 0 else values
        outside = (max(0, -self.across[0]), max(0, self.across[1] - self.length))
        return np.pad(turned, [(0, 0)] * (turned.ndim - 1) + [outside])

    def between_crossings(self) -> NDArray[np.bool_]:
        """Return `(along,)`: the places that no other line's overlap crosses, where its band would show."""
        first, last, stride = self.crossed
        place = np.arange(*self.along)
        return np.asarray((place < stride) | ((place - first) % stride >= last - first))


def pieces_of(
    axes: Sequence[Axis], read: Callable[[Piece], NDArray[Any] | None], seed: int
) -> Iterator[tuple[Piece, NDArray[Any]]]:
    """Choose pieces, of all lines alike, and yield them as they are read; a line has several where there are few.

    Parameters
    ----------
    axes
        Windows along y and along x.
    read
        Gives the pixels of a piece; None where there are none to be seen.
    """
    for axis in (0, 1):
        tried = ((piece, read(piece)) for piece in islice(_offered(axes, axis, seed), N_TRIED))
        seen = ((piece, values) for piece, values in tried if values is not None)
        yield from islice(seen, N_PIECES)


def _offered(axes: Sequence[Axis], axis: int, seed: int) -> Iterator[Piece]:
    """Yield pieces of an axis' lines in turn, none twice."""
    own, other, chance = axes[axis], axes[1 - axis], random.Random(f"{seed} {axis}")
    along = min(max(PIECE_PX // (2 * own.stride), ALONG_PX[0]), ALONG_PX[1])
    lines = _some(range(1, own.n_windows), N_TRIED, chance)
    starts = {
        line: _some(range(0, other.length, along), N_TRIED // max(1, len(lines)) + 1, chance)
        for line in lines
    }
    for k, line in product(range(N_TRIED // max(1, len(lines)) + 1), lines):
        if k < len(starts[line]):
            centre, first = line * own.stride + own.overlap // 2, starts[line][k]
            across, end = (centre - own.stride, centre + own.stride), min(first + along, other.length)
            yield Piece(axis, centre, across, (first, end), own.length, _crossed(other))


def _crossed(axis: Axis) -> tuple[int, int, int]:
    """Return the overlap of the first two windows, of which half a stride at most: something must be left between."""
    middle, half = axis.stride + axis.overlap / 2, min(axis.overlap, axis.stride / 2) / 2
    return floor(middle - half), ceil(middle + half), axis.stride


def _some(of: range, n: int, chance: random.Random) -> list[int]:
    return chance.sample(of, min(n, len(of)))
