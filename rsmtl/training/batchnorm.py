"""Batch normalisation over the batch that all ranks share, also on CPUs, where PyTorch has none."""

import torch
from torch import Tensor, nn

from rsmtl.ranks import over_ranks


class RankBatchNorm2d(nn.BatchNorm2d):
    """`BatchNorm2d` whose batch is that of all ranks, however unevenly they share it; its names are the same."""

    def forward(self, values: Tensor) -> Tensor:
        """Normalise `(N, C, H, W)`; in evaluation mode by the running statistics."""
        if not self.training:
            return super().forward(values)
        wide = values.to(torch.promote_types(values.dtype, torch.float32))
        scale, shift = self._affine(wide)
        return (wide * scale[:, None, None] + shift[:, None, None]).to(values.dtype)

    def _affine(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return what each channel is multiplied by and what is added to it, and take note of the statistics."""
        n_own = values.numel() // values.shape[1]
        variance, mean = torch.var_mean(values, dim=(0, 2, 3), correction=0)
        variance, mean = variance.double(), mean.double()
        ones = torch.ones_like(mean)
        n, total, squares = over_ranks(n_own * torch.stack([ones, mean, variance + mean.square()]))
        mean, variance = total / n, squares / n - (total / n).square()
        self._remember(mean.detach(), (variance * n / (n - 1)).detach())
        scale = self.weight * torch.rsqrt(variance.to(values.dtype) + self.eps)
        return scale, self.bias - mean.to(values.dtype) * scale

    def _remember(self, mean: Tensor, unbiased: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)


def synchronised(module: nn.Module, device: torch.device) -> nn.Module:
    """Make every batch normalisation of a module one over all ranks; on CUDA PyTorch's own does it faster."""
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-any-return, no-untyped-call]
    for child in module.modules():
        if type(child) is nn.BatchNorm2d:
            child.__class__ = RankBatchNorm2d
    return module
