"""D-DBPN: super-resolution by dense back-projection, between low and high resolution to and fro.

Haris, Shakhnarovich, Ukita, "Deep back-projection networks for super-resolution", CVPR 2018, in the size that Pereira
and dos Santos, "An end-to-end framework for low-resolution remote sensing semantic segmentation" (2020), train
together with SegNet: seven up-projections and six down-projections.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, cat, nn

from rsmtl.losses import Term, mean_absolute
from rsmtl.models.spec import ClassSpec, HeadSpec, InputSpec, ModelSpec
from rsmtl.radiometry import Radiometry

Factor = Literal[2, 4, 8]

PROJECTION: dict[int, tuple[int, int, int]] = {2: (6, 2, 2), 4: (8, 4, 2), 8: (12, 8, 2)}
"""Kernel, stride and padding of a projection by scale; each takes h exactly to scale · h, and back."""


class DbpnConfig(BaseModel):
    """Size of D-DBPN."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    in_channels: int = Field(default=3, gt=0)
    scale: Factor = 4
    """Output pixels per input pixel along an axis."""
    features: int = Field(default=256, gt=0)
    """Channels of the first convolution."""
    width: int = Field(default=64, gt=0)
    """Channels of every projection."""
    n_stages: int = Field(default=7, ge=1)
    """Up-projections; between each two lies a down-projection."""


class Projection(nn.Module):
    """A step to the other resolution, corrected by the error of coming back.

    Dense projections first reduce all earlier maps of the resolution they start from to `width` channels.
    """

    def __init__(self, scale: int, width: int, n_inputs: int, *, up: bool) -> None:
        super().__init__()
        self.reduce = _with_prelu(nn.Conv2d(width * n_inputs, width, 1)) if n_inputs > 1 else nn.Identity()
        forth, back = (nn.ConvTranspose2d, nn.Conv2d) if up else (nn.Conv2d, nn.ConvTranspose2d)
        kernel, stride, padding = PROJECTION[scale]
        self.forth = _with_prelu(forth(width, width, kernel, stride, padding))
        self.back = _with_prelu(back(width, width, kernel, stride, padding))
        self.correct = _with_prelu(forth(width, width, kernel, stride, padding))

    def forward(self, maps: Tensor) -> Tensor:
        """Map `(N, width · n_inputs, H, W)` to `(N, width, H', W')` at the other resolution."""
        here = self.reduce(maps)
        there = self.forth(here)
        return there + self.correct(self.back(there) - here)  # type: ignore[no-any-return]


class Dbpn(nn.Module):
    """D-DBPN."""

    def __init__(self, config: DbpnConfig) -> None:
        super().__init__()
        scale, width, n = config.scale, config.width, config.n_stages
        self.features = _with_prelu(nn.Conv2d(config.in_channels, config.features, 3, padding=1))
        self.narrow = _with_prelu(nn.Conv2d(config.features, width, 1))
        self.ups = nn.ModuleList(Projection(scale, width, max(1, t), up=True) for t in range(n))
        self.downs = nn.ModuleList(Projection(scale, width, t + 1, up=False) for t in range(n - 1))
        self.head = nn.Conv2d(width * n, config.in_channels, 3, padding=1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Return `sr`, network values `(N, C, s H, s W)`, linear, of an image `(N, C, H, W)` of any size."""
        lows: list[Tensor] = []
        highs = [self.ups[0](self.narrow(self.features(image)))]
        for up, down in zip(self.ups[1:], self.downs, strict=True):
            lows.insert(0, down(cat(highs, dim=1)))  # the newest first
            highs.insert(0, up(cat(lows, dim=1)))
        return {"sr": self.head(cat(highs, dim=1))}


def _with_prelu(convolution: nn.Module) -> nn.Sequential:
    """Return a convolution and a PReLU with one slope for all channels."""
    return nn.Sequential(convolution, nn.PReLU())


def build_dbpn(config: DbpnConfig) -> Dbpn:
    """Return D-DBPN with fresh weights: Kaiming-normal kernels, zero biases, as published."""
    module = Dbpn(config)
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(part.weight)
            assert part.bias is not None
            nn.init.zeros_(part.bias)
    return module


def image_input(
    channels: int, bands: Mapping[str, tuple[str, ...]], radiometry: Mapping[str, Radiometry]
) -> InputSpec:
    """Declare the one input of a system that has one."""
    return InputSpec(
        name="image",
        channels=channels,
        bands=bands.get("image", ()),
        radiometry=radiometry.get("image", Radiometry()),
    )


def sr_head(channels: int, scale: int) -> HeadSpec:
    """Declare the input image at `scale` times its resolution."""
    return HeadSpec(name="sr", channels=channels, scale=Fraction(scale), kind="continuous", like="image")


def dbpn_spec(
    config: DbpnConfig,
    *,
    bands: Mapping[str, tuple[str, ...]],
    classes: tuple[ClassSpec, ...],
    radiometry: Mapping[str, Radiometry],
) -> ModelSpec:
    """Declare what a D-DBPN built with `config` takes and gives; it knows no classes."""
    return ModelSpec(
        system="dbpn",
        inputs=(image_input(config.in_channels, bands, radiometry),),
        heads=(sr_head(config.in_channels, config.scale),),
    )


def dbpn_terms(config: DbpnConfig) -> tuple[Term, ...]:
    """Return the mean absolute error alone."""
    return (Term("sr", mean_absolute, "sr", "sr", 1.0),)
