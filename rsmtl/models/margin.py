"""How a model's answers depend on how near a window's edge is, and the margin that follows.

Pixels near a window's edge see padding in the place of the scene. What that does to a head is measured: two windows
that are displaced by a quarter of their size look at the same pixels, one near its edge, the other a quarter of a
window deeper. Their difference as a function of the distance to the edge falls to a floor: what two windows differ by
although both are far from their edges. For a network that is translation-equivariant the floor is rounding.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from math import lcm
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from rsmtl.models.spec import HeadSpec, ModelSpec

BIN_PX = 8
"""Reference pixels of one point of a curve."""

TOLERANCE = 1.2
"""A curve has reached its floor where it stays below so many times the floor."""

BIAS_TOLERANCE = 0.005
"""A head is unbiased where its mean difference stays below this share of its spread."""

NEGLIGIBLE = {"classes": 0.001, "continuous": 0.005}
"""Differences below this share of the classes, or of the spread, need no margin: the floor of a network that is
translation-equivariant is nothing but rounding."""

Run = Callable[[list[Tensor]], Mapping[str, Tensor]]
"""Runs one window: `(1, C, H, W)` network values of each input to activated `(1, C, H, W)` values by head."""

Region = Sequence[Tensor]
"""Network values `(C, H, W)` of each input over the same ground, all valid."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EdgeResponse(_Frozen):
    """Of one head: its difference from the same pixel a quarter of a window deeper, over the distance to the edge.

    Curves have a point for each `bin_px` reference pixels, from the edge on. Values of continuous heads are network
    values.
    """

    window: int = Field(gt=0)
    """Edge of the windows that were compared, in reference pixels."""
    bin_px: int = Field(gt=0)
    difference: tuple[float, ...] = Field(min_length=1)
    """Share of pixels whose class differs; mean absolute difference of a continuous head."""
    p99: tuple[float, ...] = ()
    """99th percentile of the absolute difference of a continuous head."""
    bias: tuple[float, ...] = ()
    """Mean difference of a continuous head."""
    floor: float
    """Mean of `difference` over the distances at which both windows are far from their edges."""
    floor_bias: float = 0.0
    """Largest |bias| over the same distances."""
    spread: float = Field(default=1.0, ge=0)
    """Standard deviation of a continuous head's values; 1 for classes."""

    @property
    def reached(self) -> bool:
        """Whether the curve reaches its floor; if not, the windows were too small, and the margin is too."""
        return self.margin + self.bin_px <= self.window // 4

    @property
    def margin(self) -> int:
        """Least distance in reference pixels from which on the head is as good as far from the edge."""
        negligible = NEGLIGIBLE["continuous" if self.bias else "classes"]
        limit = max(TOLERANCE * self.floor, negligible * self.spread)
        bias_limit = max(TOLERANCE * self.floor_bias, BIAS_TOLERANCE * self.spread)
        bad = [
            k
            for k, found in enumerate(self.difference)
            if found > limit or (self.bias and abs(self.bias[k]) > bias_limit)
        ]
        # beyond a quarter of the window both windows are far from their edges: what varies there is noise
        inner = [k for k in bad if (k + 1) * self.bin_px <= self.window // 4]
        return (inner[-1] + 1) * self.bin_px if inner else 0

    def expected(self, weights: NDArray[np.floating]) -> tuple[float, float]:
        """Return the difference and bias that a product is expected to have, as shares of classes or of the spread.

        Parameters
        ----------
        weights
            Blend weights of a window along one axis in reference pixels, `(window,)`.
        """
        place = np.arange(len(weights))
        bins = np.minimum(np.minimum(place, place[::-1]) // self.bin_px, len(self.difference) - 1)
        share = weights / weights.sum()
        scale = self.spread or 1.0
        excess = float(share @ (np.array(self.difference)[bins] - self.floor))
        inner = (
            bins < self.window // 4 // self.bin_px
        )  # further inside, one window's bias is the other's reversed
        bias = float(share[inner] @ np.array(self.bias)[bins[inner]]) if self.bias else 0.0
        return max(0.0, self.floor + 2 * excess) / scale, 2 * bias / scale  # along y and along x


class WindowScore(_Frozen):
    """How good a model is against truth with windows of one size."""

    window: int = Field(gt=0)
    metric: Literal["mean_iou", "psnr_db"]
    score: float


class Measured(_Frozen):
    """What was measured of a model, beside what it declares."""

    edges: dict[str, EdgeResponse] = {}
    """By head."""
    windows: tuple[WindowScore, ...] = ()


def with_margins(spec: ModelSpec, measured: Measured) -> ModelSpec:
    """Return a spec whose heads have the margins that were measured, but for those whose windows were too small."""
    heads = tuple(
        head.model_copy(update={"margin": measured.edges[head.name].margin})
        if head.name in measured.edges and measured.edges[head.name].reached
        else head
        for head in spec.heads
    )
    return spec.model_copy(update={"heads": heads})


def displacement(spec: ModelSpec, window: int) -> int:
    """Return by how many reference pixels the windows of a measurement are displaced; 0 if `window` is too small."""
    step = lcm(spec.step, _bin_px(spec.heads))
    shift = max(step, round(window / 4 / step) * step)
    return shift if 4 * shift <= window + 2 * step and window % spec.divisor == 0 else 0


def largest_window(spec: ModelSpec, shortest_px: int, most: int) -> int:
    """Return the largest window, `most` at most, that can be measured on `shortest_px`; 0 if none can."""
    for window in range(most // spec.step * spec.step, 0, -spec.step):
        if 0 < displacement(spec, window) <= shortest_px - window:
            return window
    return 0


def places(spec: ModelSpec, shape: tuple[int, int], window: int) -> list[tuple[int, int]]:
    """Return where regions of a scene begin, in an order that is the same each time and spreads any part of it."""
    size = window + displacement(spec, window)
    rows, cols = (_starts(length, size, spec.step) for length in shape)
    found = [(y, x) for y in rows for x in cols]
    return [found[k] for k in np.random.default_rng(0).permutation(len(found))]


def _starts(length: int, size: int, step: int) -> list[int]:
    """Return where regions begin along an axis: side by side, and at most 16 of them."""
    last = (length - size) // step * step
    n = max(1, min(16, length // size))
    return sorted({int(start) // step * step for start in np.linspace(0, last, n)})


@torch.inference_mode()
def edge_responses(
    spec: ModelSpec, run: Run, regions: Iterable[Region], window: int
) -> dict[str, EdgeResponse]:
    """Measure how each head depends on the distance to a window's edge.

    Parameters
    ----------
    run
        How a window is run.
    regions
        Each at least `window + displacement(spec, window)` reference pixels high and wide. Three windows run in each.
    window
        Edge in reference pixels.

    Returns
    -------
    dict
        By head; empty if there is no region.
    """
    shift, sums = displacement(spec, window), {h.name: _Sums(h, _bin_px(spec.heads)) for h in spec.heads}
    if not shift:
        return {}
    n_regions = 0
    for region in regions:
        n_regions += 1
        here, right, below = (
            run([_cut(v, i.scale, window, place) for v, i in zip(region, spec.inputs, strict=True)])
            for place in ((0, 0), (0, shift), (shift, 0))
        )
        for head in spec.heads:
            by, first = int(shift * head.scale), here[head.name][0].float()
            values = right[head.name][0].float(), below[head.name][0].float()
            sums[head.name].add(first, values[0], by)
            sums[head.name].add(first.transpose(1, 2), values[1].transpose(1, 2), by)
    return {name: found.response(window) for name, found in sums.items()} if n_regions else {}


def activated(head: HeadSpec, values: Tensor) -> Tensor:
    """Apply a head's activation to a module's raw output `(N, C, H, W)`."""
    match head.activation:
        case "softmax":
            return values.softmax(dim=1)
        case "sigmoid":
            return values.sigmoid()
        case "none":
            return values


class _Sums:
    """Adds up the differences of a head over pairs of windows, by distance to the edge."""

    def __init__(self, head: HeadSpec, bin_px: int) -> None:
        self.head, self.bin_px = head, bin_px
        self.curves: list[NDArray[np.float64]] = []
        self.spreads: list[float] = []

    def add(self, first: Tensor, second: Tensor, by: int) -> None:
        """Add windows `(C, H, W)` of which the second lies `by` pixels to the right; both of their edges count."""
        self.spreads.append(float(first.std()))
        over_first, over_second = first[..., by:], second[..., : first.shape[2] - by]
        reach = first.shape[2] // 2
        for near, deep in ((over_second, over_first), (over_first.flip(-1), over_second.flip(-1))):
            self.curves.append(self._curve(near[..., :reach], deep[..., :reach]))

    def _curve(self, near: Tensor, deep: Tensor) -> NDArray[np.float64]:
        """Return `(3, bins)`: difference, 99th percentile, bias of columns, which lie further and further inside."""
        wide = int(self.bin_px * self.head.scale)
        if self.head.kind == "classes":
            off = (_class_map(near) != _class_map(deep)).float()[None]
            signed = torch.zeros_like(off)
        else:
            signed = near - deep
            off = signed.abs()
        differences, biases = (_by_bin(values, wide) for values in (off, signed))
        return np.stack([differences.mean(1), np.percentile(differences, 99, axis=1), biases.mean(1)])

    def response(self, window: int) -> EdgeResponse:
        """Return the mean over all pairs."""
        difference, p99, bias = np.mean(self.curves, axis=0)
        far = slice(-(-window // 4 // self.bin_px), None)
        continuous = self.head.kind == "continuous"
        return EdgeResponse(
            window=window,
            bin_px=self.bin_px,
            difference=_rounded(difference),
            p99=_rounded(p99) if continuous else (),
            bias=_rounded(bias) if continuous else (),
            floor=_rounded([difference[far].mean()])[0],
            floor_bias=_rounded([np.abs(bias[far]).max()])[0] if continuous else 0.0,
            spread=_rounded([float(np.mean(self.spreads))])[0] if continuous else 1.0,
        )


def _bin_px(heads: Sequence[HeadSpec]) -> int:
    """Return reference pixels of a bin, which are whole pixels of every head."""
    return lcm(BIN_PX, *(head.scale.denominator for head in heads))


def _by_bin(values: Tensor, wide: int) -> NDArray[np.float64]:
    """Return `(bins, n)` of `(C, H, W)`: the pixels of each `wide` columns."""
    n = values.shape[-1] // wide
    cut = values[..., : n * wide].reshape(-1, n, wide).transpose(0, 1).reshape(n, -1)
    return cut.double().numpy(force=True)


def _cut(values: Tensor, scale: Fraction, window: int, place: tuple[int, int]) -> Tensor:
    y, x = (int(start * scale) for start in place)
    edge = int(window * scale)
    return values[None, :, y : y + edge, x : x + edge].contiguous(memory_format=torch.channels_last)


def _class_map(probabilities: Tensor) -> Tensor:
    return probabilities[0] > 0.5 if len(probabilities) == 1 else probabilities.argmax(dim=0)


def _rounded(values: Iterable[float]) -> tuple[float, ...]:
    """Keep four digits: a card is for people too."""
    return tuple(float(f"{value:.4g}") for value in values)
