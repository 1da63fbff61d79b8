"""Dual super-resolution learning: a segmentation finer than its image, taught by a super-resolution that is dropped.

After an abstract of LPI 2021 (no. 2279, a "multi-task convolutional neural network with three objective functions"),
which builds on Wang, Li, Zhu et al., "Dual super-resolution learning for semantic segmentation", CVPR 2020. One
encoder serves two paths. The segmentation path answers at `scale` times the image's resolution; the super-resolution
path rebuilds the image at that resolution, which only training needs: without it, the segmentation is the same to
the bit (`rsmtl.models.detach`).

Neither source fixes an encoder, a decoder or sizes; both halves of the U-Net here are ours, and replaceable.
"""

from collections.abc import Mapping
from fractions import Fraction

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from rsmtl.errors import ModelError
from rsmtl.losses import Term, cross_entropy, feature_affinity, mean_squared
from rsmtl.models.blocks import cbr, check_multiple
from rsmtl.models.features import FeatureDecoder, FeatureEncoder, UNetDecoder, UNetEncoder
from rsmtl.models.spec import ClassSpec, HeadSpec, InputSpec, ModelSpec
from rsmtl.models.timm_encoder import TimmEncoder
from rsmtl.radiometry import Radiometry

_TIMM = "timm:"


class DSRLConfig(BaseModel):
    """Size of the network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    in_channels: int = Field(default=3, gt=0)
    n_classes: int = Field(default=6, ge=2, le=254)
    scale: int = Field(default=2, ge=2, le=8)
    """Pixels of the segmentation and of the super-resolution per pixel of the image, along an axis."""
    encoder: str = Field(default="unet", pattern=r"^(unet|timm:[a-z0-9_]+)$")
    """`unet`, or a network of timm: `timm:resnet18`. timm's addresses of files and of models elsewhere are no names."""
    width: int = Field(default=32, gt=0)
    """Channels at full resolution: of the U-Net's first level, and of both decoders' results."""
    super_resolution: bool = True
    """False: the detached network, which has the segmentation path alone."""
    stop_gradient: bool = False
    """True: the affinity teaches the segmentation path only. CVPR 2020 does not say; its gradient goes to both here."""


class DSRL(nn.Module):
    """Encoder, segmentation path and, unless it is detached, super-resolution path.

    Any encoder and decoders that keep the contracts of `rsmtl.models.features` fit. Without its super-resolution path
    the same network is a `DSRL` of the same encoder and segmentation decoder, with their weights and the head's.

    Each path has a decoder, whose result is called its features, and layers that predict from them. A sub-pixel
    convolution works at the image's resolution until its last step, so the features of both paths are compared there.

    Parameters
    ----------
    sr_decoder
        None for the detached network.
    sr_channels
        Channels of the image that the super-resolution rebuilds.
    stop_gradient
        Keeps the gradient of what is done with `sr_features` from the super-resolution path.
    """

    def __init__(
        self,
        encoder: FeatureEncoder,
        segmentation_decoder: FeatureDecoder,
        sr_decoder: FeatureDecoder | None = None,
        *,
        n_classes: int,
        scale: int,
        sr_channels: int = 3,
        stop_gradient: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.segmentation_decoder = segmentation_decoder
        self.segmentation_head = _finer_classes(segmentation_decoder.channels, n_classes, scale)
        self.sr_decoder = sr_decoder
        self.stop_gradient = stop_gradient
        if sr_decoder is not None:
            self.sr_tail = sub_pixel_tail(sr_decoder.channels, sr_channels, scale)
            self.transform = _feature_transform(segmentation_decoder.channels, sr_decoder.channels)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Run the network; the image at the higher resolution is no input, only the loss needs it.

        Parameters
        ----------
        image
            `(N, C, H, W)` network values; H and W multiples of the encoder's last reduction.

        Returns
        -------
        dict
            With s = `scale`, `segmentation`: logits `(N, n_classes, sH, sW)`. Where the super-resolution path is not
            detached, `sr`: `(N, C, sH, sW)` network values, linear; and in training mode what the affinity
            compares, `segmentation_features` (transformed) and `sr_features`, both `(N, C', H, W)`.

        Raises
        ------
        ModelError
            If H or W is no such multiple.
        """
        check_multiple(image, self.encoder.reductions[-1])
        maps = self.encoder(image)
        features = self.segmentation_decoder(maps)
        outputs: dict[str, Tensor] = {"segmentation": self.segmentation_head(features)}
        if self.sr_decoder is not None:
            sr_features = self.sr_decoder(maps)
            outputs["sr"] = self.sr_tail(sr_features)
            if self.training:
                outputs["segmentation_features"] = self.transform(features)
                outputs["sr_features"] = sr_features.detach() if self.stop_gradient else sr_features
        return outputs

    def leave_out(self, heads: frozenset[str]) -> None:
        """Compute the super-resolution no more, if it is among the heads."""
        if "sr" in heads:
            self.sr_decoder = None


def sub_pixel_tail(c_in: int, channels: int, scale: int) -> nn.Sequential:
    """Return the layers that turn features `(N, c_in, H, W)` into an image `(N, channels, sH, sW)`.

    ESPCN (Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel convolutional
    neural network", CVPR 2016) behind a decoder: its 64 and 32 channels, but 5×5 on features, not on the image.
    """
    return nn.Sequential(
        nn.Conv2d(c_in, 64, kernel_size=5, padding=2),
        nn.Tanh(),
        nn.Conv2d(64, 32, kernel_size=3, padding=1),
        nn.Tanh(),
        nn.Conv2d(32, channels * scale**2, kernel_size=3, padding=1),
        nn.PixelShuffle(scale),
    )


def _finer_classes(c_in: int, n_classes: int, scale: int) -> nn.Sequential:
    """Return the upsampling layers that CVPR 2020 appends to the usual decoder, and the one that predicts."""
    return nn.Sequential(
        nn.Upsample(scale_factor=scale, mode="bilinear", align_corners=False),
        cbr(c_in, c_in),
        nn.Conv2d(c_in, n_classes, kernel_size=1),
    )


def _feature_transform(c_in: int, c_out: int) -> nn.Sequential:
    """Return what brings the segmentation's features near the super-resolution's, for the affinity alone."""
    return nn.Sequential(nn.Conv2d(c_in, c_out, kernel_size=1), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True))


def build_dsrl(config: DSRLConfig) -> DSRL:
    """Return the network with fresh weights, PyTorch's initialisation (no other is published).

    Raises
    ------
    ModelError
        If the encoder is one of timm that cannot be had.
    """
    encoder = _build_encoder(config)
    segmentation, sr = (UNetDecoder(encoder.channels, encoder.reductions, config.width) for _ in range(2))
    return DSRL(
        encoder,
        segmentation,
        sr if config.super_resolution else None,
        n_classes=config.n_classes,
        scale=config.scale,
        sr_channels=config.in_channels,
        stop_gradient=config.stop_gradient,
    )


def _build_encoder(config: DSRLConfig) -> UNetEncoder | TimmEncoder:
    if config.encoder.startswith(_TIMM):
        return TimmEncoder(config.encoder.removeprefix(_TIMM), config.in_channels)
    return UNetEncoder(config.in_channels, config.width)


def dsrl_spec(
    config: DSRLConfig,
    *,
    bands: Mapping[str, tuple[str, ...]],
    classes: tuple[ClassSpec, ...],
    radiometry: Mapping[str, Radiometry],
) -> ModelSpec:
    """Declare what a network built with `config` takes and gives.

    Raises
    ------
    ModelError
        If the encoder cannot be had, or does not take images of one multiple of its last reduction.
    """
    image = InputSpec(
        name="image",
        channels=config.in_channels,
        bands=bands.get("image", ()),
        radiometry=radiometry.get("image", Radiometry()),
    )
    segmentation = HeadSpec(
        name="segmentation",
        channels=config.n_classes,
        scale=Fraction(config.scale),
        kind="classes",
        activation="softmax",
        classes=classes,
    )
    sr = HeadSpec(
        name="sr",
        channels=config.in_channels,
        scale=Fraction(config.scale),
        kind="continuous",
        like="image",
        product=False,  # published as what is dropped after training
    )
    return ModelSpec(
        system="dsrl",
        inputs=(image,),
        heads=(segmentation, sr) if config.super_resolution else (segmentation,),
        divisor=_divisor(config),
    )


def _divisor(config: DSRLConfig) -> int:
    """Return the encoder's last reduction, once it has been seen to make such maps (on no device, of no values)."""
    with torch.device("meta"):
        encoder = _build_encoder(config).eval()
        edge = encoder.reductions[-1]
        try:
            shapes = [m.shape[1:] for m in encoder(torch.empty(1, config.in_channels, edge, edge))]
        except (RuntimeError, AssertionError) as error:
            raise ModelError(
                f"the encoder {config.encoder!r} does not take {edge}×{edge} pixels ({error}): choose another"
            ) from error
    declared = [(c, edge // r, edge // r) for c, r in zip(encoder.channels, encoder.reductions, strict=True)]
    if shapes != declared:
        raise ModelError(
            f"the encoder {config.encoder!r} gives feature maps {shapes}, it declares {declared}: "
            "choose another"
        )
    return edge


def dsrl_terms(config: DSRLConfig) -> tuple[Term, ...]:
    """Return the loss of CVPR 2020: cross-entropy + 0.1 · MSE + 1.0 · feature affinity.

    Both targets are of the higher resolution: the classes, and the image of which the input is a reduced copy. The
    abstract says "a sum of the three objectives", which taken by the letter is the weights 1, 1 and 1, and "distance
    of similarity" between the components, which is taken here as CVPR 2020's affinity between their features.
    """
    segmentation = Term(
        "segmentation", cross_entropy, output="segmentation", target="segmentation", weight=1.0
    )
    if not config.super_resolution:
        return (segmentation,)
    return (
        segmentation,
        Term("sr", mean_squared, output="sr", target="sr", weight=0.1),
        Term("affinity", feature_affinity, output="segmentation_features", target="sr_features", weight=1.0),
    )
