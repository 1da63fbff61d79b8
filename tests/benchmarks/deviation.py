"""How far maps are from what a model says in the middle of a window, and how far the model is from itself there.

Blocks of a scene are held against a window of their own, in whose middle they lie: `D` is how far a product is from
that, and the floor `F` how far a second window is, displaced by an eighth. No product can be expected below the floor.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsmtl.engine.centred import centred
from rsmtl.engine.plan import Plan
from rsmtl.lattice import Axis, Span
from rsmtl.store.output import Output

BLOCK_PX = 64
"""Edge of a block in reference pixels, a multiple of every model's divisor."""

Maps = Mapping[str, NDArray[np.generic]]
"""By output name, `(bands, H, W)` stored values of the whole scene."""
Pixels = NDArray[np.float64]


@dataclass(frozen=True)
class Block:
    """A block and what two windows say of it."""

    y: Span
    x: Span
    middle: Mapping[str, NDArray[np.generic]]
    displaced: Mapping[str, NDArray[np.generic]]
    overlap: NDArray[np.bool_]
    """`(h, w)` in reference pixels: which lie in an overlap of the plan's windows."""

    def of(self, whole: NDArray[np.generic], output: Output) -> NDArray[np.generic]:
        """Cut the block out of a map of an output."""
        return whole[:, self.y.scaled(output.scale).slice, self.x.scaled(output.scale).slice]


@dataclass(frozen=True)
class Deviation:
    """Of one output, over all blocks: in overlaps, or elsewhere."""

    share: float
    """Of pixels of another class; NaN for continuous outputs."""
    absolute: float
    """Mean absolute difference of continuous outputs, in 255ths of their range; NaN for classes."""
    bias: float
    """Mean difference of the same, with its sign."""


def blocks_of(plan: Plan, n: int, seed: int = 0) -> list[Block]:
    """Choose blocks whose windows lie within the scene, and run these."""
    lattice, window = plan.lattice, plan.settings.window
    shift = window // 8
    axes = (lattice.y, lattice.x)
    starts = [_starts(axis, window, shift) for axis in axes]
    chance, found = random.Random(seed), []
    places = [(y, x) for y in starts[0] for x in starts[1]]
    for y, x in chance.sample(places, min(n, len(places))):
        spans = Span(y, y + BLOCK_PX), Span(x, x + BLOCK_PX)
        overlap = [_overlap(span, axis) for span, axis in zip(spans, axes, strict=True)]
        found.append(
            Block(
                *spans,
                centred(plan, *spans),
                centred(plan, *spans, shift=(shift, shift)),
                overlap[0][:, None] | overlap[1],
            )
        )
    return found


def _starts(axis: Axis, window: int, shift: int) -> range:
    """Return where blocks may begin: where windows around them, displaced ones too, end within the scene."""
    first = (window - BLOCK_PX) // 2
    last = axis.length - first - BLOCK_PX - shift
    if last < first:
        raise ValueError(f"a scene of {axis.length} px has no block in the middle of a window of {window} px")
    step = 8  # fine enough to lie anywhere, on a whole pixel of every grid
    return range(-(-first // step) * step, last + 1, step)


def _overlap(span: Span, axis: Axis) -> NDArray[np.bool_]:
    place = np.arange(span.start, span.stop)
    line = place // axis.stride
    return (line >= 1) & (line < axis.n_windows) & (place % axis.stride < axis.overlap)


def deviation(
    maps: Maps | None, blocks: Sequence[Block], output: Output, range_: float, within: bool
) -> Deviation:
    """Return how far maps are from the middle of windows; of no maps, the floor.

    Parameters
    ----------
    range_
        Of the values of continuous outputs: one 255th of it is a DN.
    within
        Whether to look at the overlaps, or at all other pixels.
    """
    ours, truth = [], []
    for block in blocks:
        expected = block.middle[output.name]
        given = block.displaced[output.name] if maps is None else block.of(maps[output.name], output)
        looked = _on_grid(block.overlap, expected.shape[1:]) == within
        ours.append(given[:, looked].astype(np.float64))
        truth.append(expected[:, looked].astype(np.float64))
    difference = np.concatenate(ours, axis=1) - np.concatenate(truth, axis=1)
    if output.classes:
        return Deviation(float((difference != 0).mean()), float("nan"), float("nan"))
    dn = difference * 255 / range_
    return Deviation(float("nan"), float(np.abs(dn).mean()), float(dn.mean()))


def _on_grid(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    rows, cols = (np.arange(n) * own // n for n, own in zip(shape, mask.shape, strict=True))
    return mask[rows[:, None], cols]
