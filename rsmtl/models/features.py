"""Feature maps of several resolutions: what makes them (an encoder), and what merges them again (a decoder).

Both are contracts. Any module that keeps one can take the place of the U-Net's two halves, which keep them here.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

from torch import Tensor, cat, nn

from rsmtl.errors import ModelError
from rsmtl.models.blocks import Encoder, cbr_chain


class FeatureEncoder(Protocol):
    """A module that turns an image into feature maps.

    Called with an image `(N, C, H, W)` whose H and W are multiples of the last of `reductions`, it returns a list
    of feature maps, finest first; map i is `(N, channels[i], H / reductions[i], W / reductions[i])`.
    """

    channels: tuple[int, ...]
    reductions: tuple[int, ...]
    """Powers of two, ascending."""

    def __call__(self, image: Tensor) -> list[Tensor]:
        """Return the feature maps."""


class FeatureDecoder(Protocol):
    """A module that merges the feature maps of an encoder into one.

    Called with a `FeatureEncoder`'s list it returns `(N, channels, H, W)`, of the image's height and width.
    """

    channels: int

    def __call__(self, maps: list[Tensor]) -> Tensor:
        """Return the merged features."""


class UNetEncoder(nn.Module):
    """A U-Net's way down: five levels of two `cbr` units, 2×2 max pooling between them.

    Parameters
    ----------
    width
        Channels of the first level; each next one has twice as many.
    """

    reductions: tuple[int, ...] = (1, 2, 4, 8, 16)

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.channels: tuple[int, ...] = tuple(width * r for r in self.reductions)
        *pooled, last = self.channels
        self.levels = Encoder(in_channels, tuple((c, c) for c in pooled))
        self.bottom = cbr_chain(pooled[-1], last, last)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the last feature map of every level; keeps the contract of `FeatureEncoder`."""
        bottleneck, skips = self.levels(image)
        return [*skips, self.bottom(bottleneck)]


class UNetDecoder(nn.Module):
    """A U-Net's way up, from any encoder's feature maps to the resolution of the image.

    Every stage doubles height and width (bilinear, pixel centres kept), joins the encoder's map of that
    resolution if there is one, and runs two `cbr` units.

    Parameters
    ----------
    channels, reductions
        Of the encoder.
    width
        Channels of the result; a stage at 1/r of the resolution has r times as many, at most 16 times.

    Raises
    ------
    ModelError
        If the reductions are not ascending powers of two.
    """

    def __init__(self, channels: Sequence[int], reductions: Sequence[int], width: int) -> None:
        super().__init__()
        _check_reductions(reductions)
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.stages = nn.ModuleList()
        self.joins: list[int | None] = []  # for every stage, which of the encoder's maps it joins
        self.channels, reduction = channels[-1], reductions[-1]
        while reduction > 1:
            reduction //= 2
            join = reductions.index(reduction) if reduction in reductions else None
            c_in = self.channels + (0 if join is None else channels[join])
            self.channels = width * min(reduction, 16)
            self.joins.append(join)
            self.stages.append(cbr_chain(c_in, self.channels, self.channels))

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Merge the feature maps; keeps the contract of `FeatureDecoder`."""
        x = maps[-1]
        for stage, join in zip(self.stages, self.joins, strict=True):
            x = self.upsample(x)
            x = stage(x if join is None else cat([x, maps[join]], dim=1))
        return x


def _check_reductions(reductions: Sequence[int]) -> None:
    powers = all(r > 0 and r & (r - 1) == 0 for r in reductions)
    if not (reductions and powers and all(fine < coarse for fine, coarse in pairwise(reductions))):
        raise ModelError(
            f"an encoder's feature maps must be reduced by ascending powers of two, got {tuple(reductions)}: "
            "choose another encoder"
        )
