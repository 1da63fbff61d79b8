"""A rectangle of the world's pixel lattice."""

from dataclasses import dataclass
from functools import cached_property
from math import ceil

import numpy as np

from rsmtl.synthetic.noise import F64, Index


@dataclass(frozen=True)
class Frame:
    """Pixels `row` to `row + height` and `column` to `column + width` of a world whose pixels are `gsd_m` wide."""

    row: int
    column: int
    height: int
    width: int
    gsd_m: float

    @cached_property
    def rows(self) -> Index:
        """`(H,)` numbers of the rows in the world."""
        return np.arange(self.row, self.row + self.height)

    @cached_property
    def columns(self) -> Index:
        """`(W,)` numbers of the columns in the world."""
        return np.arange(self.column, self.column + self.width)

    @cached_property
    def y(self) -> F64:
        """`(H,)` metres of the pixel centres, southwards."""
        return (self.rows.astype(np.float64) + 0.5) * self.gsd_m

    @cached_property
    def x(self) -> F64:
        """`(W,)` metres of the pixel centres, eastwards."""
        return (self.columns.astype(np.float64) + 0.5) * self.gsd_m

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.height, self.width

    def pixels(self, metres: float) -> int:
        """Return the least number of pixels that covers a length."""
        return ceil(metres / self.gsd_m)

    def grow(self, pixels: int) -> "Frame":
        """Return this frame with a margin on every side."""
        return Frame(
            self.row - pixels,
            self.column - pixels,
            self.height + 2 * pixels,
            self.width + 2 * pixels,
            self.gsd_m,
        )

    def refine(self, ratio: int) -> "Frame":
        """Return the same ground in pixels `ratio` times as fine."""
        return Frame(
            self.row * ratio, self.column * ratio, self.height * ratio, self.width * ratio, self.gsd_m / ratio
        )

    def within(self, other: "Frame") -> tuple[slice, slice]:
        """Return the slices that cut this frame out of an array over `other`, which holds it."""
        top, left = self.row - other.row, self.column - other.column
        return slice(top, top + self.height), slice(left, left + self.width)
