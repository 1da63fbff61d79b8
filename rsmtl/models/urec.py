"""U-REC: segmentation and reconstruction of the input by one U-Net with a partly shared decoder.

Papadomanolaki, Karantzalos, Vakalopoulou, "A multi-task deep learning framework coupling semantic
segmentation and image reconstruction for very high resolution imagery", IGARSS 2019. Without its
reconstruction path it is the plain U-Net that the paper compares with.
"""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, cat, nn

from rsmtl.losses import Term, cross_entropy, mean_absolute
from rsmtl.models.blocks import Encoder, cbr, cbr_chain, check_multiple
from rsmtl.models.spec import ClassSpec, HeadSpec, InputSpec, ModelSpec
from rsmtl.radiometry import Radiometry

DIVISOR = 32
"""Five poolings: height and width must be multiples of 2^5."""


class UNetConfig(BaseModel):
    """Size of the plain U-Net."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    in_channels: int = Field(default=3, gt=0)
    n_classes: int = Field(default=6, ge=2, le=254)
    width: int = Field(default=32, gt=0)
    """Channels of the first level; every other channel count is a multiple of it. 32 is the published one."""


class URecConfig(UNetConfig):
    """Size of U-REC."""

    share_decoder: bool = True
    """Whether both paths run the same trunk, as published. False gives each its own: 31 % more weights."""


class URec(nn.Module):
    """U-REC, or the plain U-Net where `reconstruct` is False.

    Both paths climb from the bottleneck at 1/32 to full resolution. At each resolution a path first runs an
    *entry* unit of its own (segmentation: on the features and the encoder's skip; reconstruction: on the
    features alone, it has no skips) and then the *trunk* units of that resolution, which the paths share.
    A shared trunk runs twice in a forward pass, segmentation first, so that in training its batch
    normalisation sees both paths.
    """

    def __init__(self, config: UNetConfig, *, reconstruct: bool, share_decoder: bool = True) -> None:
        super().__init__()
        w1, w2, w3, w4, w5 = (config.width * m for m in (1, 2, 4, 8, 16))
        levels = ((w1, w1), (w2, w2), (w3, w3, w3), (w4, w4, w4), (w5, w5, w5))
        self.encoder = Encoder(config.in_channels, levels)
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.trunk = _trunk(config.width)
        self.segmentation_entries = nn.ModuleList(cbr(2 * w, w) for w in (w5, w4, w3, w2, w1))
        self.segmentation_head = nn.Conv2d(w1, config.n_classes, kernel_size=1)
        self.reconstruct = reconstruct
        if reconstruct:
            self.reconstruction_trunk = None if share_decoder else _trunk(config.width)
            self.reconstruction_entries = nn.ModuleList(cbr(w, w) for w in (w5, w4, w3, w2, w1))
            self.reconstruction_head = nn.Conv2d(w1, config.in_channels, kernel_size=1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Run the network.

        Parameters
        ----------
        image
            `(N, in_channels, H, W)` network values; H and W multiples of 32.

        Returns
        -------
        dict
            `segmentation`: logits `(N, n_classes, H, W)`. Where the model reconstructs, also
            `reconstruction`: `(N, in_channels, H, W)` network values, linear (they may leave 0 to 1).

        Raises
        ------
        ModelError
            If H or W is no multiple of 32.
        """
        check_multiple(image, DIVISOR)
        bottleneck, skips = self.encoder(image)
        heads = {"segmentation": self.segment(bottleneck, skips)}
        if self.reconstruct:
            heads["reconstruction"] = self.rebuild(bottleneck)
        return heads

    def leave_out(self, heads: frozenset[str]) -> None:
        """Compute the reconstruction no more, if it is among the heads."""
        self.reconstruct = self.reconstruct and "reconstruction" not in heads

    def segment(self, bottleneck: Tensor, skips: list[Tensor]) -> Tensor:
        """Run the segmentation path."""
        x = self.trunk[0](bottleneck)
        stages = zip(self.segmentation_entries, self.trunk[1:], reversed(skips), strict=True)
        for entry, trunk, skip in stages:
            x = trunk(entry(cat([self.upsample(x), skip], dim=1)))
        return self.segmentation_head(x)  # type: ignore[no-any-return]

    def rebuild(self, bottleneck: Tensor) -> Tensor:
        """Run the reconstruction path: nothing of the image but the bottleneck reaches it."""
        path = self.trunk if self.reconstruction_trunk is None else self.reconstruction_trunk
        x = path[0](bottleneck)
        for entry, trunk in zip(self.reconstruction_entries, path[1:], strict=True):
            x = trunk(entry(self.upsample(x)))
        return self.reconstruction_head(x)  # type: ignore[no-any-return]


def _trunk(width: int) -> nn.ModuleList:
    """Return the units between one entry and the next, from 1/32 to full resolution, where there are none."""
    w1, w2, w3, w4, w5 = (width * m for m in (1, 2, 4, 8, 16))
    return nn.ModuleList(
        [
            cbr_chain(w5, w5),
            cbr_chain(w5, w5, w4, w4),
            cbr_chain(w4, w4, w3, w3),
            cbr_chain(w3, w3, w2, w2),
            cbr_chain(w2, w1, w1),
            nn.Identity(),
        ]
    )


def build_unet(config: UNetConfig) -> URec:
    """Return the plain U-Net with fresh weights."""
    return URec(config, reconstruct=False)


def build_urec(config: URecConfig) -> URec:
    """Return U-REC with fresh weights."""
    return URec(config, reconstruct=True, share_decoder=config.share_decoder)


def unet_spec(
    config: UNetConfig,
    *,
    bands: Mapping[str, tuple[str, ...]],
    classes: tuple[ClassSpec, ...],
    radiometry: Mapping[str, Radiometry],
) -> ModelSpec:
    """Declare what a plain U-Net built with `config` takes and gives."""
    image = InputSpec(
        name="image",
        channels=config.in_channels,
        bands=bands.get("image", ()),
        radiometry=radiometry.get("image", Radiometry()),
    )
    return ModelSpec(
        system="unet",
        inputs=(image,),
        heads=(
            HeadSpec(
                name="segmentation",
                channels=config.n_classes,
                kind="classes",
                activation="softmax",
                classes=classes,
            ),
        ),
        divisor=DIVISOR,
    )


def urec_spec(
    config: URecConfig,
    *,
    bands: Mapping[str, tuple[str, ...]],
    classes: tuple[ClassSpec, ...],
    radiometry: Mapping[str, Radiometry],
) -> ModelSpec:
    """Declare what a U-REC built with `config` takes and gives: the U-Net's, and its input reconstructed."""
    unet = unet_spec(config, bands=bands, classes=classes, radiometry=radiometry)
    reconstruction = HeadSpec(
        name="reconstruction", channels=config.in_channels, kind="continuous", like="image", product=False
    )
    return ModelSpec(
        system="urec", inputs=unet.inputs, heads=(*unet.heads, reconstruction), divisor=unet.divisor
    )


def unet_terms(config: UNetConfig) -> tuple[Term, ...]:
    """Return the plain U-Net's loss: the cross-entropy alone."""
    return (Term("segmentation", cross_entropy, output="segmentation", target="segmentation", weight=1.0),)


def urec_terms(config: URecConfig) -> tuple[Term, ...]:
    """Return U-REC's loss (equation 3, w1 = 0.1 as in section 2.1); the image to rebuild is the network's own input."""
    return (
        Term("segmentation", cross_entropy, output="segmentation", target="segmentation", weight=0.9),
        Term("reconstruction", mean_absolute, output="reconstruction", target="image", weight=0.1),
    )
