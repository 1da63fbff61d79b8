"""FuseNet: PAN and MS to a segmentation, a baseline of the joint pansharpening and segmentation network.

As that network's authors rebuilt it for their comparison (Khalel et al., IGARSS 2019): without skips (`FuseNet_low`)
and with them (`FuseNet_skip`). It learns from the same segmentation loss.
"""

from collections.abc import Mapping
from itertools import pairwise

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, cat, nn

from rsmtl.losses import Term, jaccard_cross_entropy
from rsmtl.models.blocks import as_tensorflow_begins, check_pair
from rsmtl.models.panseg import DIVISOR, binary_or_softmax_head, pan_ms_inputs, segmentation_channels
from rsmtl.models.spec import ClassSpec, ModelSpec
from rsmtl.radiometry import Radiometry

RATIO = 4


class FuseNetConfig(BaseModel):
    """Size of FuseNet."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ms_channels: int = Field(default=3, gt=0)
    n_classes: int = Field(default=2, ge=2, le=254)
    width: int = Field(default=16, gt=0)
    """Channels of the first block; every other channel count is a multiple of it."""
    skips: bool = True
    """`FuseNet_skip`; False is `FuseNet_low`."""


class FuseNet(nn.Module):
    """Blocks of growing width down to 1/16, and four transposed convolutions up again."""

    def __init__(self, config: FuseNetConfig) -> None:
        super().__init__()
        w = config.width
        self.skips = config.skips
        self.pan = nn.ModuleList([_block(13, 1, w, w), _block(7, w, 2 * w, 2 * w)])
        self.ms = _block(1, config.ms_channels, 2 * w, 2 * w)
        self.trunk = nn.ModuleList([_block(3, 4 * w, 4 * w, 4 * w), _block(3, 4 * w, 8 * w, 8 * w)])
        self.pool = nn.MaxPool2d(2)
        skip = [0, *((8 * w, 4 * w, 2 * w) if config.skips else (0, 0, 0))]
        self.ups = nn.ModuleList(
            _up(below + beside, above)
            for (below, above), beside in zip(pairwise((8 * w, 8 * w, 4 * w, 2 * w, w)), skip, strict=True)
        )
        self.head = nn.Conv2d(w, segmentation_channels(config.n_classes), kernel_size=1)

    def forward(self, pan: Tensor, ms: Tensor) -> dict[str, Tensor]:
        """Return `segmentation`, logits `(N, 1 or K, H, W)`, of PAN `(N, 1, H, W)` and MS `(N, C, H/4, W/4)`.

        Raises
        ------
        ModelError
            If H or W is no multiple of 16, or MS is not a quarter of PAN.
        """
        check_pair(pan, ms, DIVISOR, RATIO)
        x = self.pool(self.pan[0](pan))
        levels = [self.pan[1](x)]
        x = cat([self.pool(levels[-1]), self.ms(ms)], dim=1)
        for block in self.trunk:
            levels.append(block(x))
            x = self.pool(levels[-1])
        x = self.ups[0](x)
        for up, level in zip(self.ups[1:], reversed(levels), strict=True):
            x = up(cat([x, level], dim=1) if self.skips else x)
        return {"segmentation": self.head(x)}


def _block(kernel: int, *channels: int) -> nn.Sequential:
    """Return convolution, batch normalisation and ReLU for each step of `channels`; height and width stay."""
    return nn.Sequential(
        *(
            layer
            for c_in, c_out in pairwise(channels)
            for layer in (
                nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2),
                nn.BatchNorm2d(c_out),
                nn.ReLU(inplace=True),
            )
        )
    )


def _up(c_in: int, c_out: int) -> nn.Sequential:
    """Return a transposed convolution that doubles height and width, batch normalisation and ReLU."""
    return nn.Sequential(
        nn.ConvTranspose2d(c_in, c_out, kernel_size=2, stride=2), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True)
    )


def build_fusenet(config: FuseNetConfig) -> FuseNet:
    """Return FuseNet with fresh weights."""
    module = FuseNet(config)
    as_tensorflow_begins(module)
    return module


def fusenet_spec(
    config: FuseNetConfig,
    *,
    bands: Mapping[str, tuple[str, ...]],
    classes: tuple[ClassSpec, ...],
    radiometry: Mapping[str, Radiometry],
) -> ModelSpec:
    """Declare what a FuseNet built with `config` takes and gives."""
    return ModelSpec(
        system="fusenet",
        inputs=pan_ms_inputs(config.ms_channels, RATIO, bands, radiometry),
        heads=(binary_or_softmax_head(config.n_classes, classes),),
        divisor=DIVISOR,
    )


def fusenet_terms(config: FuseNetConfig) -> tuple[Term, ...]:
    """Return the segmentation loss alone."""
    return (Term("segmentation", jaccard_cross_entropy, "segmentation", "segmentation", 1.0),)
