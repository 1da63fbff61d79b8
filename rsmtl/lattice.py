"""Where windows and chunks lie: integers only, no arrays, no pixels.

Along each axis, window origins are multiples of `stride = window − overlap`, counted from the scene's pixel 0.
A chunk is `strides_per_chunk` strides wide and owns the windows whose origins lie in it. Its windows reach past
its end by `overlap` pixels, into the next chunk. So along one axis a chunk's windows touch three zones:

    before   the first `overlap` pixels of the chunk, which the chunk before reaches too
    core     pixels that no other chunk's window touches
    after    `overlap` pixels past the chunk's end: the next chunk's `before`

A chunk's region is the product of both axes, nine zones at most. Everything in this module is exact for any
scene size, also for scenes smaller than a window and for a last chunk that owns no window at all.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import ceil
from typing import Literal

from rsmtl.errors import PlanError

Zone = Literal["before", "core", "after"]
Chunk = tuple[int, int]
"""Row and column of a chunk."""
Area = tuple[Zone, Zone]
"""One of the nine zones of a chunk's region, as (zone along y, zone along x)."""


@dataclass(frozen=True)
class Span:
    """Half-open range of pixels along one axis."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """Number of pixels; 0 for an empty span."""
        return max(0, self.stop - self.start)

    @property
    def slice(self) -> slice:
        """The span as a slice."""
        return slice(self.start, self.stop)

    def within(self, outer: "Span") -> "Span":
        """The same pixels, counted from the start of `outer`."""
        return Span(self.start - outer.start, self.stop - outer.start)

    def scaled(self, scale: Fraction) -> "Span":
        """The span in pixels of a grid with `scale` pixels per reference pixel; a part of a pixel counts whole."""
        return Span(int(self.start * scale), ceil(self.stop * scale))


@dataclass(frozen=True)
class Axis:
    """Windows and chunks along one axis of `length` reference pixels."""

    length: int
    window: int
    overlap: int
    strides_per_chunk: int

    @property
    def stride(self) -> int:
        """Pixels between the origins of neighbouring windows."""
        return self.window - self.overlap

    @property
    def chunk_px(self) -> int:
        """Edge of a chunk; the last one ends with the scene."""
        return self.strides_per_chunk * self.stride

    @property
    def n_windows(self) -> int:
        """Windows up to the first that reaches the scene's end."""
        return max(1, ceil((self.length - self.overlap) / self.stride))

    @property
    def n_chunks(self) -> int:
        """Chunks that hold a pixel of the scene."""
        return ceil(self.length / self.chunk_px)

    def window_span(self, index: int) -> Span:
        """Pixels of a window; the last one may reach past the scene."""
        return Span(index * self.stride, index * self.stride + self.window)

    def windows_of(self, chunk: int) -> range:
        """Windows that a chunk owns; none if the chunk lies wholly in the reach of the one before."""
        first = chunk * self.strides_per_chunk
        return range(first, max(first, min(first + self.strides_per_chunk, self.n_windows)))

    def chunk_span(self, chunk: int) -> Span:
        """Pixels of a chunk."""
        return Span(chunk * self.chunk_px, min((chunk + 1) * self.chunk_px, self.length))

    def region(self, chunk: int) -> Span:
        """Pixels that a chunk's windows touch: the chunk and the border behind it."""
        return Span(chunk * self.chunk_px, min((chunk + 1) * self.chunk_px + self.overlap, self.length))

    def zones(self, chunk: int) -> dict[Zone, Span]:
        """The zones of a chunk's region that hold a pixel."""
        own, region = self.chunk_span(chunk), self.region(chunk)
        shared = min(own.start + self.overlap, own.stop) if chunk > 0 else own.start
        zones: dict[Zone, Span] = {
            "before": Span(own.start, shared),
            "core": Span(shared, own.stop),
            "after": Span(own.stop, region.stop),
        }
        return {name: span for name, span in zones.items() if span.size}

    def waits_for(self, chunk: int) -> list[int]:
        """Chunks that own windows which touch the chunk's own pixels: itself and the one before, or fewer."""
        before = [chunk - 1] if chunk and self.overlap else []
        return [source for source in (*before, chunk) if self.windows_of(source)]

    def awaited_by(self, chunk: int) -> list[int]:
        """Chunks whose pixels this one's windows touch."""
        if not self.windows_of(chunk):
            return []
        return [chunk, chunk + 1] if self.overlap and chunk + 1 < self.n_chunks else [chunk]

    def sources(self, chunk: int, zone: Zone) -> list[tuple[int, Zone]]:
        """Which chunks' windows add to a zone of the chunk's own pixels, and which zone it is to them."""
        if zone == "before":
            return [(chunk - 1, "after"), (chunk, "before")]
        return [(chunk, zone)]


@dataclass(frozen=True)
class Window:
    """One window of the lattice."""

    row: int
    col: int
    y: Span
    x: Span


@dataclass(frozen=True)
class Lattice:
    """All windows and chunks of a scene.

    Raises
    ------
    PlanError
        If the overlap is more than half a window, so that more than two windows of an axis would meet.
    """

    height: int
    width: int
    window: int
    overlap: int
    strides_per_chunk: int = 1

    def __post_init__(self) -> None:
        if self.overlap * 2 > self.window:
            raise PlanError(
                f"the overlap must be at most half the window ({self.window // 2} px for a window of "
                f"{self.window} px), got {self.overlap} px: make the window larger or the overlap smaller"
            )

    @property
    def y(self) -> Axis:
        """The lattice along y."""
        return Axis(self.height, self.window, self.overlap, self.strides_per_chunk)

    @property
    def x(self) -> Axis:
        """The lattice along x."""
        return Axis(self.width, self.window, self.overlap, self.strides_per_chunk)

    @property
    def n_windows(self) -> int:
        """All windows of the scene."""
        return self.y.n_windows * self.x.n_windows

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of chunks."""
        return self.y.n_chunks, self.x.n_chunks

    def chunks(self) -> Iterator[Chunk]:
        """All chunks, row by row."""
        return product(range(self.y.n_chunks), range(self.x.n_chunks))

    def windows_of(self, chunk: Chunk) -> list[Window]:
        """Windows that a chunk owns, row by row."""
        return [
            Window(row, col, self.y.window_span(row), self.x.window_span(col))
            for row in self.y.windows_of(chunk[0])
            for col in self.x.windows_of(chunk[1])
        ]

    def owns_windows(self, chunk: Chunk) -> bool:
        """Whether there is anything to run for a chunk."""
        return bool(self.y.windows_of(chunk[0])) and bool(self.x.windows_of(chunk[1]))

    def region(self, chunk: Chunk) -> tuple[Span, Span]:
        """Pixels that a chunk's windows touch."""
        return self.y.region(chunk[0]), self.x.region(chunk[1])

    def areas(self, chunk: Chunk) -> dict[Area, tuple[Span, Span]]:
        """The areas of a chunk's region that hold a pixel."""
        rows, cols = self.y.zones(chunk[0]), self.x.zones(chunk[1])
        return {(zy, zx): (rows[zy], cols[zx]) for zy, zx in product(rows, cols)}

    def own_areas(self, chunk: Chunk) -> dict[Area, tuple[Span, Span]]:
        """The areas that make up the chunk's own pixels: one core and at most three shared strips."""
        return {area: spans for area, spans in self.areas(chunk).items() if "after" not in area}

    def sources(self, chunk: Chunk, area: Area) -> list[tuple[Chunk, Area]]:
        """Which chunks' windows add to one of the chunk's own areas, and which area it is to them."""
        rows, cols = self.y.sources(chunk[0], area[0]), self.x.sources(chunk[1], area[1])
        return [
            ((row, col), (zy, zx))
            for (row, zy), (col, zx) in product(rows, cols)
            if self.owns_windows((row, col))
        ]

    def waits_for(self, chunk: Chunk) -> set[Chunk]:
        """Chunks whose windows must have run before the chunk can be finished: itself and at most three more."""
        return set(product(self.y.waits_for(chunk[0]), self.x.waits_for(chunk[1])))

    def awaited_by(self, chunk: Chunk) -> set[Chunk]:
        """Chunks that cannot be finished before this one's windows have run."""
        return set(product(self.y.awaited_by(chunk[0]), self.x.awaited_by(chunk[1])))


def check_divisible(name: str, value: int, divisor: int, why: str) -> None:
    """Refuse a length that is no multiple of `divisor`, naming the nearest that are.

    Raises
    ------
    PlanError
        If `value` is not a multiple of `divisor`.
    """
    if value % divisor:
        lower = value // divisor * divisor
        options = f"{lower} or {lower + divisor}" if lower else f"{divisor}"
        raise PlanError(
            f"the {name} must be a multiple of {divisor} px ({why}), got {value} px: use {options}"
        )
