"""Super-resolution and segmentation end to end: the segmentation network sees the super-resolved image as it is.

Pereira and dos Santos, "An end-to-end framework for low-resolution remote sensing semantic segmentation" (2020): D-DBPN
and SegNet. Nothing lies between the two, neither a clamp nor a detach, so the cross-entropy trains both.
"""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from rsmtl.errors import ModelError
from rsmtl.losses import Term, cross_entropy, mean_absolute
from rsmtl.models.blocks import check_multiple
from rsmtl.models.dbpn import DbpnConfig, Factor, build_dbpn, image_input, sr_head
from rsmtl.models.segnet import SegNetConfig, build_segnet, divisor_before, segmentation_head
from rsmtl.models.spec import ClassSpec, ModelSpec
from rsmtl.radiometry import Radiometry


class SrSegConfig(BaseModel):
    """Size of both halves; what they must agree on is said once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    in_channels: int = Field(default=3, gt=0)
    n_classes: int = Field(default=6, ge=2, le=254)
    scale: Factor = 4
    """Output pixels per input pixel along an axis."""
    features: int = Field(default=256, gt=0)
    """Channels of D-DBPN's first convolution."""
    sr_width: int = Field(default=64, gt=0)
    """Channels of D-DBPN's projections."""
    n_stages: int = Field(default=7, ge=1)
    """D-DBPN's up-projections."""
    width: int = Field(default=64, gt=0)
    """Channels of SegNet's first stage."""
    rectified_scores: bool = False
    """Whether SegNet's last layer has batch normalisation and ReLU, as in the authors' code."""

    @property
    def sr(self) -> DbpnConfig:
        """The first half."""
        return DbpnConfig(
            in_channels=self.in_channels,
            scale=self.scale,
            features=self.features,
            width=self.sr_width,
            n_stages=self.n_stages,
        )

    @property
    def segmentation(self) -> SegNetConfig:
        """The second half."""
        return SegNetConfig(
            in_channels=self.in_channels,
            n_classes=self.n_classes,
            width=self.width,
            rectified_scores=self.rectified_scores,
        )


class SrSeg(nn.Module):
    """Two modules in a row.

    Parameters
    ----------
    sr
        Any module that gives `sr` of an image.
    segmentation
        Any module that gives `segmentation` of what `sr` is.
    divisor
        Of the image's height and width.
    """

    def __init__(self, sr: nn.Module, segmentation: nn.Module, divisor: int = 1) -> None:
        super().__init__()
        self.sr = sr
        self.segmentation = segmentation
        self.divisor = divisor

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Run both halves.

        Parameters
        ----------
        image
            `(N, C, H, W)` network values of low resolution; H and W multiples of the divisor.

        Returns
        -------
        dict
            `sr`: `(N, C, s H, s W)` network values, linear; `segmentation`: logits `(N, K, s H, s W)`.

        Raises
        ------
        ModelError
            If H or W is no multiple of the divisor.
        """
        check_multiple(image, self.divisor)
        sr: Tensor = self.sr(image)["sr"]
        return {"sr": sr, "segmentation": self.segmentation(sr)["segmentation"]}


def build_srseg(config: SrSegConfig) -> SrSeg:
    """Return D-DBPN and SegNet in a row, with fresh weights."""
    return SrSeg(build_dbpn(config.sr), build_segnet(config.segmentation), divisor_before(config.scale))


def srseg_spec(
    config: SrSegConfig,
    *,
    bands: Mapping[str, tuple[str, ...]],
    classes: tuple[ClassSpec, ...],
    radiometry: Mapping[str, Radiometry],
) -> ModelSpec:
    """Declare what a network built with `config` takes and gives: low resolution in, both heads at high resolution."""
    return ModelSpec(
        system="srseg",
        inputs=(image_input(config.in_channels, bands, radiometry),),
        heads=(
            sr_head(config.in_channels, config.scale),
            segmentation_head(config.n_classes, config.scale, classes),
        ),
        divisor=divisor_before(config.scale),
    )


def srseg_terms(config: SrSegConfig) -> tuple[Term, ...]:
    """Return α L₁ + β CE with α = 0.1 and β = 1000, the weights of all the paper's results."""
    return (
        Term("sr", mean_absolute, "sr", "sr", 0.1),
        Term("segmentation", cross_entropy, "segmentation", "segmentation", 1000.0),
    )


def joined_config(sr: DbpnConfig, segmentation: SegNetConfig) -> SrSegConfig:
    """Return the configuration of two networks that were trained apart, put in a row.

    This is the baseline of super-resolution as preprocessing: a D-DBPN, and a SegNet trained on native images. Load the
    weights of the one into `SrSeg.sr`, of the other into `SrSeg.segmentation`.

    Raises
    ------
    ModelError
        If the bands differ, or the SegNet upsamples by itself.
    """
    if sr.in_channels != segmentation.in_channels or segmentation.upsample != 1:
        raise ModelError(
            f"a D-DBPN of {sr.in_channels} bands goes before a SegNet of as many that does not upsample, got one of "
            f"{segmentation.in_channels} bands that upsamples {segmentation.upsample} times: choose another"
        )
    return SrSegConfig(
        in_channels=sr.in_channels,
        n_classes=segmentation.n_classes,
        scale=sr.scale,
        features=sr.features,
        sr_width=sr.width,
        n_stages=sr.n_stages,
        width=segmentation.width,
        rectified_scores=segmentation.rectified_scores,
    )
