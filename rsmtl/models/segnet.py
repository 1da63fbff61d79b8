"""SegNet: an encoder with the layout of VGG16, and a decoder that unpools where the encoder pooled.

Badrinarayanan, Kendall, Cipolla, "SegNet: a deep convolutional encoder-decoder architecture for image segmentation",
TPAMI 2017; the segmentation half of Pereira and dos Santos, "An end-to-end framework for low-resolution remote sensing
semantic segmentation" (2020), and its baselines: on the native image, and on a low-resolution one upsampled.
"""

from collections.abc import Mapping
from fractions import Fraction
from math import gcd

import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from rsmtl.losses import Term, cross_entropy
from rsmtl.models.blocks import cbr, cbr_chain
from rsmtl.models.dbpn import image_input
from rsmtl.models.spec import ClassSpec, HeadSpec, ModelSpec
from rsmtl.radiometry import Radiometry

DIVISOR = 32
"""Five poolings, at the resolution at which it segments."""


class SegNetConfig(BaseModel):
    """Size of SegNet."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    in_channels: int = Field(default=3, gt=0)
    n_classes: int = Field(default=6, ge=2, le=254)
    width: int = Field(default=64, gt=0)
    """Channels of the first stage; every other channel count is a multiple of it."""
    upsample: int = Field(default=1, ge=1)
    """The image is first made so many times larger by bicubic interpolation: the baseline on low resolution."""
    rectified_scores: bool = False
    """Whether the last layer has batch normalisation and ReLU like all others, as in the authors' code; scores are then
    never negative. The original ends in the convolution."""


class SegNet(nn.Module):
    """Five stages down, the same five up."""

    def __init__(self, config: SegNetConfig) -> None:
        super().__init__()
        w1, w2, w4, w8 = (config.width * m for m in (1, 2, 4, 8))
        self.upsample = config.upsample
        self.encoder = nn.ModuleList(
            [
                cbr_chain(config.in_channels, w1, w1),
                cbr_chain(w1, w2, w2),
                cbr_chain(w2, w4, w4, w4),
                cbr_chain(w4, w8, w8, w8),
                cbr_chain(w8, w8, w8, w8),
            ]
        )
        last = (
            cbr(w1, config.n_classes)
            if config.rectified_scores
            else nn.Conv2d(w1, config.n_classes, 3, padding=1)
        )
        self.decoder = nn.ModuleList(
            [
                cbr_chain(w8, w8, w8, w8),
                cbr_chain(w8, w8, w8, w4),
                cbr_chain(w4, w4, w4, w2),
                cbr_chain(w2, w2, w1),
                nn.Sequential(cbr(w1, w1), last),
            ]
        )

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Return `segmentation`, logits `(N, K, s H, s W)`, of an image `(N, C, H, W)`, upsampled s times first.

        The upsampled height and width need not be multiples of 32, but 32 at least.
        """
        x, places = image, []
        if self.upsample > 1:
            x = F.interpolate(x, scale_factor=self.upsample, mode="bicubic", align_corners=False)
        for stage in self.encoder:
            x = stage(x)
            size = x.shape
            x, indices = F.max_pool2d(x, 2, return_indices=True)
            places.append((indices, size))
        for stage, (indices, size) in zip(self.decoder, reversed(places), strict=True):
            x = stage(unpool(x, indices, size))
        return {"segmentation": x}


def unpool(values: Tensor, indices: Tensor, size: tuple[int, ...]) -> Tensor:
    """Put `values` `(N, C, H, W)` back where a 2×2 max pooling of an array of `size` took them from; zero elsewhere."""
    return F.max_unpool2d(values, indices, [2, 2], output_size=list(size))


def build_segnet(config: SegNetConfig) -> SegNet:
    """Return SegNet with fresh weights."""
    return SegNet(config)


def segmentation_head(n_classes: int, scale: int, classes: tuple[ClassSpec, ...]) -> HeadSpec:
    """Declare a softmax over classes at `scale` times the input's resolution."""
    return HeadSpec(
        name="segmentation",
        channels=n_classes,
        scale=Fraction(scale),
        kind="classes",
        activation="softmax",
        classes=classes,
    )


def divisor_before(scale: int) -> int:
    """What the input's height and width must be a multiple of, so that `scale` times as much is one of 32."""
    return DIVISOR // gcd(DIVISOR, scale)


def segnet_spec(
    config: SegNetConfig,
    *,
    bands: Mapping[str, tuple[str, ...]],
    classes: tuple[ClassSpec, ...],
    radiometry: Mapping[str, Radiometry],
) -> ModelSpec:
    """Declare what a SegNet built with `config` takes and gives."""
    return ModelSpec(
        system="segnet",
        inputs=(image_input(config.in_channels, bands, radiometry),),
        heads=(segmentation_head(config.n_classes, config.upsample, classes),),
        divisor=divisor_before(config.upsample),
    )


def segnet_terms(config: SegNetConfig) -> tuple[Term, ...]:
    """Return the cross-entropy alone."""
    return (Term("segmentation", cross_entropy, "segmentation", "segmentation", 1.0),)
