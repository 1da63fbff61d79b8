"""Whether the lattice of windows shows in a stored product: as bands along the overlaps, or as steps.

Contrasts of an output are folded by the stride (`folding`) on pieces of its lines. What stands out is compared with the
scene itself if that is at hand: rows of a field that happen to lie as the windows do are no fault of theirs.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, partial
from itertools import islice
from typing import Any

import numpy as np
import xarray as xr

from rsmtl.engine.folding import Floats, contrasts, fold, mean_known, unexplained
from rsmtl.engine.look import Look, Region, input_region, look_of, stored_region
from rsmtl.engine.pieces import Piece, pieces_of
from rsmtl.engine.seam import Seam, Verdict
from rsmtl.errors import RsmtlError
from rsmtl.lattice import Axis
from rsmtl.scene.open import reopen
from rsmtl.scene.scene import SceneInput
from rsmtl.store.place import Place
from rsmtl.store.provenance import Run, read_run
from rsmtl.store.zarr import open_product

CHANCE = 0.001
"""How often a product without a grid may pass for one with a grid."""
CHANCE_OF_SCENE = 0.01
"""How often a scene may pass for one that repeats as the windows do; asked only of what stands out."""
FEWEST_LINES = 4
"""With fewer, what one line shows, a road for example, decides."""
VISIBLE_EXCESS = 0.25
"""Steps must be so much larger between windows than elsewhere, where texture hides them."""
OWN_SHARE = 0.5
"""Where the scene repeats as the windows do, this share of what stands out must be left when what the scene explains is
taken off."""
FULL_HEIGHT = 0.8
"""The widest band is named that is as dark, to this share, as the darkest one."""
TINY = 1e-12
"""Of values that differ nowhere, any difference is visible."""
N_FIRST = 8
"""Pieces that tell which classes are there, and the range of values."""


def seams(folder: Place, seed: int = 0) -> tuple[Seam, ...]:
    """Say of each output of a product whether the windows show.

    Outputs that a single window covers are left out.

    Parameters
    ----------
    seed
        Of the choice of pieces and of random places; with the same one the figures are the same.

    Raises
    ------
    InputError
        If there is no product.
    """
    run = read_run(folder)
    window, overlap = run.settings["window"], run.settings["overlap"]
    scene, found = SceneOf(run), []
    for group in open_product(folder).values():
        masks = {array.attrs.get("ancillary_variables") for array in group.data_vars.values()}
        for name in sorted({str(name) for name in group.data_vars} - masks):
            array = group[name]
            scale = Fraction(int(array.encoding["shards"][-1]), run.chunk_px)
            found.append(measure(array, name, int(window * scale), int(overlap * scale), scene, seed))
    return tuple(seam for seam in found if seam)


class SceneOf:
    """The scene of a product, opened when it is first asked for, and looked at once for outputs of one grid."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._seen: dict[Any, Floats | None] = {}

    def lines(
        self, pieces: tuple[Piece, ...], shape: tuple[int, ...], widths: tuple[int, ...]
    ) -> Floats | None:
        """Return the contrasts of the scene under pieces of an output `(H, W)`; None if it is not to be had."""
        key = pieces, shape, widths
        if key not in self._seen:
            try:
                self._seen[key] = self._lines(pieces, shape, widths)
            except RsmtlError:
                self._seen[key] = None
        return self._seen[key]

    def _lines(
        self, pieces: tuple[Piece, ...], shape: tuple[int, ...], widths: tuple[int, ...]
    ) -> Floats | None:
        for found in self._inputs:
            if tuple(found.geobox.shape) == tuple(self._run.shape_px) and not found.parts:
                return _lines(((piece, input_region(found, shape, piece)) for piece in pieces), widths)
        return None

    @cached_property
    def _inputs(self) -> tuple[SceneInput, ...]:
        return tuple(reopen(self._run.opened_with).inputs.values())


def measure(
    array: xr.DataArray, name: str, window: int, overlap: int, scene: SceneOf | None = None, seed: int = 0
) -> Seam | None:
    """Look at one output; None if there are no lines between windows, or no pixel near them is valid.

    Parameters
    ----------
    array
        `(band, y, x)` as stored, with the attributes that the store gives it.
    window, overlap
        In pixels of the output.
    scene
        What stands out is compared with it.
    """
    axes = [Axis(length, window, overlap, 1) for length in array.shape[1:]]
    read = partial(stored_region, array)
    first = [values for _, values in islice(pieces_of(axes, read, seed), N_FIRST)]
    if not first:
        return None
    look, pieces = look_of(array, name, first), list[Piece]()
    by = _Sizes(_widths(axes[0]), overlap, seed)
    lines = _lines(look.regions(pieces_of(axes, read, seed), pieces), by.widths, look.is_classes)
    if len(lines) < FEWEST_LINES:
        return Seam(name, "too few lines", len(lines), look.unit)
    found = _judged(look, lines, by)
    causes = scene.lines(tuple(pieces), array.shape[1:], by.widths) if scene else None
    return found if causes is None else _compared(found, look, lines, causes, by)


@dataclass(frozen=True)
class _Sizes:
    """What an output is measured by."""

    widths: tuple[int, ...]
    overlap: int
    seed: int


def _compared(found: Seam, look: Look, lines: Floats, causes: Floats, by: _Sizes) -> Seam:
    """Judge what the scene does not explain; it may show what the scene's own contrasts hide, and the reverse."""
    rest = unexplained(lines, causes)
    own = replace(_judged(look, rest, by), compared=True)
    row = len(look.channels) * (own.verdict == "steps") + (
        look.names.index(own.channel) if own.channel else len(look.channels)
    )
    whole, left = (
        abs(float(mean_known(part[:, row, by.widths.index(own.width_px), part.shape[-1] // 2], 0)))
        for part in (lines, rest)
    )
    is_own = own.is_grid and left >= OWN_SHARE * whole
    if found.is_grid and not is_own and _repeats(causes, by.seed):
        return replace(found, verdict="in the scene", compared=True)
    whole_height = _judged(look, unexplained(lines, causes, within_places=True), by)
    return replace(whole_height, compared=True) if whole_height.verdict == own.verdict else own


def _widths(axis: Axis) -> tuple[int, ...]:
    """Return widths from one pixel to one and a half times the overlap, as far as a stride has room."""
    parts = [Fraction(k, 8) for k in (1, 2, 4, 8, 12)]
    wanted = {1, *(int(axis.overlap * part) for part in parts)} if axis.overlap else {2**k for k in range(6)}
    return tuple(sorted(width for width in wanted if 1 <= width <= max(1, axis.stride // 3)))


def _lines(of: Iterable[tuple[Piece, Region]], widths: Sequence[int], shares: bool = False) -> Floats:
    """Return the contrasts of each line, as `fold` takes them, over all that is looked at of it."""
    found: dict[tuple[int, int], list[Floats]] = defaultdict(list)
    for piece, (values, known) in of:
        counts = piece.arranged(known) & piece.between_crossings()[:, None]
        found[piece.axis, piece.centre].append(contrasts(piece.arranged(values), counts, widths, shares))
    return np.stack([mean_known(np.stack(some), 0) for some in found.values()])


def _judged(look: Look, lines: Floats, by: _Sizes) -> Seam:
    """Name the most visible of the contrasts that stand out; if none does, the one that does most."""
    found, n = fold(lines, by.seed), len(look.channels)
    visible = np.concatenate([look.visible, look.visible, [look.visible.mean()]])[:, None] + TINY
    heights = np.abs(found.there) / visible
    excess = found.there[-1] - found.elsewhere[-1]
    heights[-1] = np.where(excess >= VISIBLE_EXCESS * found.elsewhere[-1], excess / visible[-1], 0)
    heights = np.where(found.chance <= CHANCE, np.nan_to_num(heights), 0)
    shows = bool(heights.max() >= 1)
    best = int(heights.argmax() if shows else found.chance.argmin())
    row, column = divmod(best, heights.shape[1])
    chance = float(found.chance[row, column])
    if shows and row < n:
        column = _whole_width(found.there[row], found.noise[row], column, by)
    there, elsewhere, noise = (
        float(np.nan_to_num(part[row, column])) / look.per_unit
        for part in (found.there, found.elsewhere, found.noise)
    )
    verdict: Verdict = "no grid" if not shows else "bands" if row < n else "steps"
    channel = "" if row == 2 * n else look.names[row % n]
    width = by.widths[column]
    return Seam(look.name, verdict, len(lines), look.unit, width, there, elsewhere, noise, chance, channel)


def _whole_width(there: Floats, noise: Floats, column: int, by: _Sizes) -> int:
    """Return which width is that of a band that one width has given away, the overlap's if that is about as high."""
    heights = there * np.sign(there[column])
    heights[:column] = 0
    heights[column + 1 :][heights[column + 1 :] < 2 * noise[column + 1 :]] = 0
    high = np.flatnonzero(heights >= FULL_HEIGHT * heights.max())
    within = high[np.take(by.widths, high) <= by.overlap]
    return int(within[-1] if within.size else high[0])


def _repeats(causes: Floats, seed: int) -> bool:
    """Whether a scene has the lattice's phase itself."""
    return bool((fold(causes, seed).chance <= CHANCE_OF_SCENE).any())
