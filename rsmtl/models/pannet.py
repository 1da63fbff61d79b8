"""PanNet: pansharpening of high frequencies alone, a baseline of the joint pansharpening and segmentation network.

Yang, Fu, Hu, Huang, Ding, Paisley, "PanNet: a deep network architecture for pan-sharpening", ICCV 2017, in the size of
DLPan-Toolbox and of the replica for Landsat, which differ in how MS is brought to PAN's grid.
"""

from collections.abc import Mapping
from typing import Literal

import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, cat, nn

from rsmtl.losses import Term, mean_squared
from rsmtl.models.blocks import check_pair
from rsmtl.models.panseg import pan_ms_inputs
from rsmtl.models.spec import ClassSpec, HeadSpec, ModelSpec
from rsmtl.radiometry import Radiometry

RATIO = 4
N_BLOCKS = 4
_BOX_PX = 5


class PanNetConfig(BaseModel):
    """Size of PanNet."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ms_channels: int = Field(default=3, gt=0)
    width: int = Field(default=32, gt=0)
    """Channels of every layer between the first and the last."""
    upsampling: Literal["learned", "bicubic"] = "learned"
    """Of the high frequencies of MS: a transposed convolution, without batch normalisation in the blocks (DLPan), or
    bicubic with it (the replica for Landsat)."""


class PanNet(nn.Module):
    """Residual blocks on the high frequencies; what they give is added to the upsampled MS."""

    def __init__(self, config: PanNetConfig) -> None:
        super().__init__()
        bands, width, learned = config.ms_channels, config.width, config.upsampling == "learned"
        self.upsample = nn.ConvTranspose2d(bands, bands, 8, stride=4, padding=2) if learned else None
        self.first = nn.Sequential(nn.Conv2d(bands + 1, width, 3, padding=1), nn.ReLU(inplace=True))
        self.blocks = nn.ModuleList(_block(width, normalised=not learned) for _ in range(N_BLOCKS))
        self.last = nn.Conv2d(width, bands, 3, padding=1)

    def forward(self, pan: Tensor, ms: Tensor) -> dict[str, Tensor]:
        """Return `hrms`, network values `(N, C, H, W)`, linear, of PAN `(N, 1, H, W)` and MS `(N, C, H/4, W/4)`.

        Raises
        ------
        ModelError
            If H or W is no multiple of 4, or MS is not a quarter of PAN.
        """
        check_pair(pan, ms, RATIO, RATIO)
        details = high_pass(ms)
        fine = self.upsample(details) if self.upsample is not None else _bicubic(details)
        x = self.first(cat([high_pass(pan), fine], dim=1))
        for block in self.blocks:
            x = x + block(x)
        return {"hrms": _bicubic(ms) + self.last(x)}


def high_pass(image: Tensor) -> Tensor:
    """Return an image `(N, C, H, W)` less its mean over 5×5 pixels; beyond its edge it is reflected."""
    reach = _BOX_PX // 2
    padded = F.pad(image, (reach, reach, reach, reach), mode="reflect")
    return image - F.avg_pool2d(padded, _BOX_PX, stride=1)


def _bicubic(image: Tensor) -> Tensor:
    return F.interpolate(image, scale_factor=RATIO, mode="bicubic", align_corners=False)


def _block(width: int, normalised: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for activation in (True, False):
        layers.append(nn.Conv2d(width, width, 3, padding=1))
        layers += [nn.BatchNorm2d(width)] if normalised else []
        layers += [nn.ReLU(inplace=True)] if activation else []
    return nn.Sequential(*layers)


def build_pannet(config: PanNetConfig) -> PanNet:
    """Return PanNet with fresh weights."""
    return PanNet(config)


def pannet_spec(
    config: PanNetConfig,
    *,
    bands: Mapping[str, tuple[str, ...]],
    classes: tuple[ClassSpec, ...],
    radiometry: Mapping[str, Radiometry],
) -> ModelSpec:
    """Declare what a PanNet built with `config` takes and gives; it knows no classes."""
    hrms = HeadSpec(name="hrms", channels=config.ms_channels, kind="continuous", like="ms")
    return ModelSpec(
        system="pannet",
        inputs=pan_ms_inputs(config.ms_channels, RATIO, bands, radiometry),
        heads=(hrms,),
        divisor=RATIO,
    )


def pannet_terms(config: PanNetConfig) -> tuple[Term, ...]:
    """Return the mean squared error alone."""
    return (Term("hrms", mean_squared, "hrms", "hrms", 1.0),)
