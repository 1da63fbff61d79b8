"""Seams in a stored product: how much pixels differ across the lines between chunks and windows, and elsewhere.

Where nothing gives a line away, a step across it is as large as any other, and their ratio is 1. Elsewhere means up to
half a stride from the line: the same ground, and every place within a window alike.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf, nan
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rsmtl.engine.stored import with_mask
from rsmtl.store.place import Place
from rsmtl.store.provenance import read_run
from rsmtl.store.zarr import open_product

Lines = Literal["chunks", "windows"]

N_SEGMENTS = 48
"""Pieces of lines that are looked at for a figure; what is read does not grow with the scene."""
SEGMENT_PX = 256
"""Length of a piece."""


@dataclass(frozen=True)
class Seam:
    """What was found across the lines of an output."""

    output: str
    lines: Lines
    n_steps: int
    """Pairs of neighbouring valid pixels across a line that were looked at."""
    across: float
    """Mean step across the lines: absolute difference of stored values, or the share of pairs of differing class."""
    elsewhere: float
    """The same of all pairs around them, weighted by how much was seen of the line."""
    error: float
    """Standard error of the ratio, as the pieces differ among themselves."""

    @property
    def ratio(self) -> float:
        """1 where there is no seam; NaN where nothing differs at all."""
        if self.elsewhere:
            return self.across / self.elsewhere
        return inf if self.across else nan


@dataclass(frozen=True)
class _Segment:
    """A piece of a line."""

    axis: int
    """Along which one steps across the line: 0, that is y, for a horizontal one."""
    line: int
    """The first pixel behind it."""
    start: int
    """Where the piece begins, along the line."""


def seams(folder: Place, seed: int = 0) -> tuple[Seam, ...]:
    """Compare steps across lines with those elsewhere, on a sample of each output of a product.

    Outputs without such lines, as those of a scene of one chunk, are left out.

    Parameters
    ----------
    seed
        Of the choice of pieces; with the same one the figures are the same.

    Raises
    ------
    InputError
        If there is no product.
    """
    run = read_run(folder)
    stride_px = run.settings["window"] - run.settings["overlap"]
    found = []
    for group in open_product(folder).values():
        masks = {array.attrs.get("ancillary_variables") for array in group.data_vars.values()}
        for name in sorted({str(name) for name in group.data_vars} - masks):
            array = with_mask(group, name)
            chunk = int(array.encoding["shards"][-1])
            stride, longest = stride_px * chunk // run.chunk_px, max(array.shape[1:])
            of: dict[Lines, list[int]] = {
                "chunks": list(range(chunk, longest, chunk)),
                "windows": [line for line in range(stride, longest, stride) if line % chunk],
            }
            found += [measure(array, name, kind, lines, stride, seed) for kind, lines in of.items()]
    return tuple(seam for seam in found if seam)


def measure(
    array: xr.DataArray, name: str, kind: Lines, lines: Sequence[int], stride: int, seed: int = 0
) -> Seam | None:
    """Look at an output's steps across and around some lines; None if there is nothing to see.

    Parameters
    ----------
    array
        `(band, y, x)` as stored, with the attributes that the store gives it.
    lines
        First pixels behind the lines, the same along y and x.
    stride
        Half as far around the lines the steps are that they are compared with.
    """
    seen = []
    for segment in _some_segments(array.shape[1:], lines, stride // 2, seed):
        piece = _steps(array, segment, stride // 2)
        if piece[0] and piece[2]:
            seen.append(piece)
        if len(seen) == N_SEGMENTS:
            break
    if not seen:
        return None
    n, across, n_others, others = np.array(seen, dtype=np.float64).T
    expected = n * others / n_others  # each piece is compared with its own ground
    total = float(expected.sum())
    error = float(np.hypot.reduce(across - expected * across.sum() / total) / total) if total else nan
    return Seam(name, kind, int(n.sum()), float(across.sum() / n.sum()), total / float(n.sum()), error)


def _some_segments(shape: tuple[int, ...], lines: Sequence[int], reach: int, seed: int) -> Iterator[_Segment]:
    """Yield pieces at random, none twice, more than are wanted: those in nodata show nothing."""
    chance, seen = random.Random(seed), set()
    fitting = [[line for line in lines if reach <= line <= length - reach] for length in shape]
    axes = [axis for axis in (0, 1) if fitting[axis] and reach > 1]
    for _ in range(4 * N_SEGMENTS if axes else 0):
        axis = chance.choice(axes)
        start = chance.randrange(0, shape[1 - axis], SEGMENT_PX)
        segment = _Segment(axis, chance.choice(fitting[axis]), start)
        if segment not in seen:
            seen.add(segment)
            yield segment


def _steps(array: xr.DataArray, segment: _Segment, reach: int) -> tuple[int, float, int, float]:
    """Return number and sum of the steps across a piece of a line, and of all others up to `reach` from it."""
    strip = slice(segment.line - reach, segment.line + reach)
    along = slice(segment.start, segment.start + SEGMENT_PX)
    piece = array[:, strip, along] if segment.axis == 0 else array[:, along, strip]
    values = np.moveaxis(piece.values, 1 + segment.axis, 0)
    valid = _valid(values, array.attrs.get("_FillValue"))
    if "valid" in piece.coords:
        valid &= np.moveaxis(np.broadcast_to(piece.valid.values != 0, piece.shape), 1 + segment.axis, 0)
    known = valid[1:] & valid[:-1]
    if "flag_values" in array.attrs:
        steps = (values[1:] != values[:-1]).astype(np.float64)
    else:
        steps = np.abs(np.diff(values.astype(np.float64), axis=0))
    steps = np.where(known, steps, 0.0)
    n, across = int(known[reach - 1].sum()), float(steps[reach - 1].sum())
    return n, across, int(known.sum()) - n, float(steps.sum()) - across


def _valid(values: NDArray[Any], nodata: Any) -> NDArray[np.bool_]:
    there = np.isfinite(values) if values.dtype.kind == "f" else np.ones(values.shape, bool)
    return there if nodata is None else there & (values != np.asarray(nodata).astype(values.dtype))
