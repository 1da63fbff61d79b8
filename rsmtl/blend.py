"""Weights that sum to one at every pixel, and sums that do not depend on their order.

Ramps are multiples of 2⁻¹¹, so a falling ramp is exactly one minus the rising one, and the products of two axes
are multiples of 2⁻²², which float32 holds exactly: the weights of all windows add up to exactly one.

Floating-point addition is exact, and so free of order, as long as every term is a multiple of one step and the
sum stays below 2²⁴ (float32) or 2⁵³ (float64) steps. Each contribution is therefore rounded to whole steps: 2⁻²² for
probabilities in float32, and in float64 for continuous heads 2⁻⁵¹ of the greatest value they may have, rounded up to a
power of two: 2⁻³⁴ of values up to 2¹⁷. A canvas holds the sum in steps.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import frexp
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Kind = Literal["classes", "continuous"]
Shape = Literal["linear", "cosine"]

RAMP_STEPS = 2**11
CLASS_STEPS = 2.0**22
"""Steps in a probability of one."""
DTYPES: dict[Kind, torch.dtype] = {"classes": torch.float32, "continuous": torch.float64}

SLAB_BYTES = 2**19
"""About half of the second-level cache of one core."""


@dataclass(frozen=True)
class Exact:
    """The values of a continuous head whose sums are exact."""

    limit: float
    """Greatest absolute value."""
    strict: bool
    """Whether a greater one is an error. Otherwise it is clipped, as it is where it is stored."""

    @property
    def steps(self) -> float:
        """Steps in a value of one: a power of two, so that four values at the limit stay below 2⁵³ steps."""
        mantissa, exponent = frexp(self.limit)
        return 2.0 ** (51 - (exponent - (mantissa == 0.5)))


def ramp(overlap_px: int, shape: Shape) -> NDArray[np.float32]:
    """Return the rising weights over an overlap, `(overlap_px,)`, in (0, 1), multiples of 2⁻¹¹."""
    position = (np.arange(overlap_px) + 0.5) / max(1, overlap_px)
    if shape == "cosine":
        position = np.sin(position * np.pi / 2) ** 2
    steps = np.clip(np.rint(position * RAMP_STEPS), 1, RAMP_STEPS - 1)
    return (steps / RAMP_STEPS).astype(np.float32)


def axis_weights(
    window_px: int, overlap_px: int, margin_px: int, first: bool, last: bool, shape: Shape
) -> NDArray[np.float32]:
    """Return a window's weights along one axis, `(window_px,)`: no ramp at the scene's `first` and `last` edge.

    `margin_px` at the ends of an overlap belong to one of its two windows alone; the ramp lies between them.
    """
    weights = np.ones(window_px, dtype=np.float32)
    alone = np.zeros(margin_px, dtype=np.float32)
    rising = np.concatenate([alone, ramp(overlap_px - 2 * margin_px, shape), 1 - alone])
    if not first:
        weights[:overlap_px] = rising
    if not last:
        weights[window_px - overlap_px :] = 1 - rising
    return weights


def new_canvas(kind: Kind, shape: tuple[int, int, int], device: str) -> Tensor:
    """Return an empty sum `(C, H, W)`, in steps of the kind's size."""
    return torch.zeros(shape, dtype=DTYPES[kind], device=device)


def in_steps(weights: NDArray[np.float32], steps: float) -> Tensor:
    """Return blend weights as what turns a value of one into steps; exact, as a step is a power of two."""
    return torch.from_numpy(weights) * steps


def add(
    canvas: Tensor, values: Tensor, weights: Tensor, exact: Exact | None = None, outside: Tensor | None = None
) -> None:
    """Add weighted values to a view of a canvas, in place.

    Parameters
    ----------
    canvas
        `(C, H, W)` in steps, of the kind's dtype.
    values
        `(C, H, W)` activated outputs of one window: probabilities, or network values.
    weights
        `(H, W)` blend weights, `in_steps`.
    exact
        Of a continuous head: greater values are clipped.
    outside
        `(H, W)` bool, set where a value counts that is greater, if that is an error.
    """
    for rows in slabs(canvas):
        # planes, as the canvas has
        part = values[:, rows].to(canvas.dtype, memory_format=torch.contiguous_format)
        if exact is not None:
            part = _clipped(part, exact.limit, weights[rows], None if outside is None else outside[rows])
        canvas[:, rows] += (part * weights[rows]).round_()


def _clipped(part: Tensor, limit: float, weights: Tensor, outside: Tensor | None) -> Tensor:
    """Clip values to a limit, and set where they were beyond it, if that is asked for.

    A CPU looks first whether there is any, for which a GPU would have to wait.
    """
    if outside is None:
        return part.clamp(-limit, limit)
    if part.device.type == "cpu":
        low, high = part.aminmax()
        if -limit <= float(low) and float(high) <= limit:
            return part
    outside |= ((part.abs() > limit) & (weights > 0)).any(dim=0)
    return part.clamp(-limit, limit)


def slabs(canvas: Tensor) -> Iterator[slice]:
    """Cut the rows of `(C, H, W)` so that passes over one slab find it in a CPU's cache; a GPU takes all at once."""
    height = canvas.shape[1]
    bytes_per_row = canvas[:, :1].numel() * canvas.element_size()
    step = max(1, SLAB_BYTES // max(1, bytes_per_row)) if canvas.device.type == "cpu" else max(1, height)
    for first in range(0, height, step):
        yield slice(first, min(first + step, height))
