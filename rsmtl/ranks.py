"""Sums over the ranks of a training: what makes a batch that many processes share count as one batch."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class _Sum(torch.autograd.Function):
    """Every rank gets the sum, and each contribution the gradients of what all ranks made of it."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


def over_ranks(values: Tensor) -> Tensor:
    """Return the sum of all ranks' `values`, differentiable; without a process group, `values`.

    The gradient is that of the sum of all ranks' results, of which DistributedDataParallel takes the mean: where every
    rank computes the same total from such sums, parameters get the gradient of that total.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return values
    total: Tensor = _Sum.apply(values)  # type: ignore[no-untyped-call]
    return total


def batch_mean(values: Tensor) -> Tensor:
    """Return the mean of all ranks' values, of any shape and number; float32 scalar."""
    n = torch.tensor(values.numel(), dtype=torch.float64, device=values.device)
    total, count = over_ranks(torch.stack([values.sum().double(), n]))
    mean: Tensor = total / count
    return mean.float()
