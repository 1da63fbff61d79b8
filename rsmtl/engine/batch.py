"""From a chunk's region to batches of one fixed shape."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rsmtl.lattice import Span, Window


def reflection(available: int, size: int) -> NDArray[np.int64]:
    """Return `size` indices that run through `available` pixels back and forth without repeating the edge."""
    period = max(1, 2 * (available - 1))
    folded = np.arange(size) % period
    return np.minimum(folded, period - folded)


def cut(region: Tensor, y: Span, x: Span) -> Tensor:
    """Return the pixels `(C, y.size, x.size)` of a region; what lies past its end is reflected.

    The reflection sees the window's own pixels only, so it is the same whichever chunk the window belongs to.
    """
    inside = region[:, y.start : y.stop, x.start : x.stop]
    if inside.shape[1] < y.size:
        inside = inside[:, _reflection_on(region.device, inside.shape[1], y.size)]
    if inside.shape[2] < x.size:
        inside = inside[:, :, _reflection_on(region.device, inside.shape[2], x.size)]
    return inside


@lru_cache(maxsize=32)
def _reflection_on(device: torch.device, available: int, size: int) -> Tensor:
    """Return `reflection` on a device, which would have to wait if it were sent there each time."""
    return torch.from_numpy(reflection(available, size)).to(device)


def batches(
    windows: Sequence[Window],
    regions: Sequence[tuple[Tensor, Fraction]],
    origin: tuple[Span, Span],
    batch: int,
) -> Iterator[tuple[Sequence[Window], list[Tensor]]]:
    """Yield windows with their inputs, `batch` at a time; the last batch is filled up with zeros.

    Parameters
    ----------
    regions
        For each input of the model, its pixels `(C, H, W)` over the chunk's region and its scale.
    origin
        The chunk's region in reference pixels.
    """
    for first in range(0, len(windows), batch):
        members = windows[first : first + batch]
        stacked = []
        for region, scale in regions:
            y0, x0 = origin[0].scaled(scale), origin[1].scaled(scale)
            edge = members[0].y.scaled(scale).size
            stack = torch.empty(
                (batch, len(region), edge, edge), device=region.device, memory_format=torch.channels_last
            )
            for slot, window in zip(stack, members, strict=False):
                slot.copy_(cut(region, window.y.scaled(scale).within(y0), window.x.scaled(scale).within(x0)))
            stack[len(members) :] = 0
            stacked.append(stack)
        yield members, stacked
