"""PAN and MS to a segmentation and to HRMS, by one encoder and a decoder for each task.

Khalel, Tasar, Charpiat, Tarabalka, "Multi-task deep learning for satellite image pansharpening and segmentation",
IGARSS 2019. The paper's text fits two layouts of the decoders: that of its authors' code, and that of their figure.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor, cat, nn

from rsmtl.losses import Term, jaccard_cross_entropy, pansharpening_quality
from rsmtl.models.blocks import as_tensorflow_begins, cbr_chain, check_pair
from rsmtl.models.spec import ClassSpec, HeadSpec, InputSpec, ModelSpec
from rsmtl.radiometry import Radiometry

DIVISOR = 16
"""Four poolings."""

Task = Literal["segmentation", "hrms"]
Layout = Literal["code", "figure"]


class PanSegConfig(BaseModel):
    """Size of the network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ms_channels: int = Field(default=3, gt=0)
    hrms_channels: int = Field(default=3, gt=0)
    """Bands of the pansharpened image."""
    n_classes: int = Field(default=2, ge=2, le=254)
    """Two share one sigmoid channel, as published; more have a softmax."""
    width: int = Field(default=32, gt=0)
    """Channels of the first block; every other channel count is a multiple of it."""
    layout: Layout = "code"
    """Where a skip joins a decoder: before its two convolutions (`code`, a U-Net) or after them (`figure`)."""
    tasks: tuple[Task, ...] = ("segmentation", "hrms")
    """Heads; with one of them it is the paper's single-task network."""
    ratio: Literal[2, 4] = 4
    """PAN pixels per MS pixel along an axis. With 2, which is not in the paper, features of MS are pooled once more to
    meet those of PAN at a quarter of its resolution."""

    @field_validator("tasks")
    @classmethod
    def _known_order(cls, tasks: tuple[Task, ...]) -> tuple[Task, ...]:
        if tasks not in {("segmentation", "hrms"), ("segmentation",), ("hrms",)}:
            raise ValueError("tasks are segmentation, hrms, or both in this order")
        return tasks


class PanSegEncoder(nn.Module):
    """PAN blocks at 1 and 1/2, an MS block of its own, and a trunk from 1/4 to 1/16 in which they meet."""

    def __init__(self, ms_channels: int, width: int, ratio: int) -> None:
        super().__init__()
        w1, w2, w4, w8, w16 = (width * m for m in (1, 2, 4, 8, 16))
        self.pan = nn.ModuleList([cbr_chain(1, w1, w1), cbr_chain(w1, w2, w2)])
        self.ms = cbr_chain(ms_channels, w2, w2)
        self.trunk = nn.ModuleList([cbr_chain(w4, w4, w4), cbr_chain(w4, w8, w8)])
        self.centre = cbr_chain(w8, w16, w16)
        self.pool = nn.MaxPool2d(2)
        self.meet = nn.MaxPool2d(4 // ratio)

    def forward(self, pan: Tensor, ms: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the centre `(N, 16 w, H/16, W/16)` and the skips of 1, 1/2, 1/4 and 1/8."""
        skips, x = [], pan
        for block in self.pan:
            skips.append(block(x))
            x = self.pool(skips[-1])
        x = cat([x, self.meet(self.ms(ms))], dim=1)
        for block in self.trunk:
            skips.append(block(x))
            x = self.pool(skips[-1])
        return self.centre(x), skips


class PanSegDecoder(nn.Module):
    """From the centre to full resolution: nearest-neighbour upsampling, two convolutions and a skip at each of four."""

    def __init__(self, width: int, out_channels: int, layout: Layout) -> None:
        super().__init__()
        self.layout = layout
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        levels = [width * m for m in (8, 4, 2, 1)]
        below, stages = 16 * width, []
        for level in levels:
            stages.append(cbr_chain(below + level if layout == "code" else below, level, level))
            below = level if layout == "code" else 2 * level
        self.stages = nn.ModuleList(stages)
        self.head = nn.Conv2d(below, out_channels, kernel_size=1)

    def forward(self, centre: Tensor, skips: list[Tensor]) -> Tensor:
        """Return `(N, out_channels, H, W)`, linear."""
        x = centre
        for stage, skip in zip(self.stages, reversed(skips), strict=True):
            x = self.upsample(x)
            x = stage(cat([x, skip], dim=1)) if self.layout == "code" else cat([stage(x), skip], dim=1)
        return self.head(x)  # type: ignore[no-any-return]


class PanSeg(nn.Module):
    """The multi-task network, or a single-task one."""

    def __init__(self, config: PanSegConfig) -> None:
        super().__init__()
        self.ratio = config.ratio
        self.encoder = PanSegEncoder(config.ms_channels, config.width, config.ratio)
        channels = {"segmentation": segmentation_channels(config.n_classes), "hrms": config.hrms_channels}
        self.decoders = nn.ModuleDict(
            {task: PanSegDecoder(config.width, channels[task], config.layout) for task in config.tasks}
        )

    def forward(self, pan: Tensor, ms: Tensor) -> dict[str, Tensor]:
        """Run the network.

        Parameters
        ----------
        pan
            `(N, 1, H, W)` network values; H and W multiples of 16.
        ms
            `(N, ms_channels, H / ratio, W / ratio)` network values.

        Returns
        -------
        dict
            `segmentation`: logits `(N, 1, H, W)`, or `(N, n_classes, H, W)` with more than two classes. `hrms`:
            `(N, hrms_channels, H, W)` network values in (0, 1), after the sigmoid.

        Raises
        ------
        ModelError
            If the sizes do not go together.
        """
        check_pair(pan, ms, DIVISOR, self.ratio)
        centre, skips = self.encoder(pan, ms)
        heads = {task: decoder(centre, skips) for task, decoder in self.decoders.items()}
        if "hrms" in heads:
            heads["hrms"] = heads["hrms"].sigmoid()
        return heads

    def leave_out(self, heads: frozenset[str]) -> None:
        """Run the decoders of these heads no more."""
        for task in heads & set(self.decoders):
            del self.decoders[task]


def segmentation_channels(n_classes: int) -> int:
    """Channels of a head in which two classes share one sigmoid."""
    return 1 if n_classes == 2 else n_classes


def build_panseg(config: PanSegConfig) -> PanSeg:
    """Return the network with fresh weights."""
    module = PanSeg(config)
    as_tensorflow_begins(module)
    return module


def pan_ms_inputs(
    ms_channels: int, ratio: int, bands: Mapping[str, tuple[str, ...]], radiometry: Mapping[str, Radiometry]
) -> tuple[InputSpec, InputSpec]:
    """Declare PAN, which is the reference, and MS at its own GSD."""
    known = {name: (bands.get(name, ()), radiometry.get(name, Radiometry())) for name in ("pan", "ms")}
    sizes = (("pan", 1, Fraction(1)), ("ms", ms_channels, Fraction(1, ratio)))
    pan, ms = (
        InputSpec(name=name, channels=n, scale=scale, bands=known[name][0], radiometry=known[name][1])
        for name, n, scale in sizes
    )
    return pan, ms


def binary_or_softmax_head(n_classes: int, classes: tuple[ClassSpec, ...]) -> HeadSpec:
    """Declare a segmentation head in which two classes share one sigmoid."""
    return HeadSpec(
        name="segmentation",
        channels=segmentation_channels(n_classes),
        kind="classes",
        activation="sigmoid" if n_classes == 2 else "softmax",
        classes=classes,
    )


def panseg_spec(
    config: PanSegConfig,
    *,
    bands: Mapping[str, tuple[str, ...]],
    classes: tuple[ClassSpec, ...],
    radiometry: Mapping[str, Radiometry],
) -> ModelSpec:
    """Declare what a network built with `config` takes and gives."""
    heads = {
        "segmentation": binary_or_softmax_head(config.n_classes, classes),
        "hrms": HeadSpec(name="hrms", channels=config.hrms_channels, kind="continuous", like="ms"),
    }
    return ModelSpec(
        system="panseg",
        inputs=pan_ms_inputs(config.ms_channels, config.ratio, bands, radiometry),
        heads=tuple(heads[task] for task in config.tasks),
        divisor=DIVISOR,
    )


def panseg_terms(config: PanSegConfig) -> tuple[Term, ...]:
    """Return α L_seg + (1 − α) L_pansh with the paper's α = 0.2; a single-task network has its term alone."""
    alpha = 0.2 if len(config.tasks) == 2 else 1.0
    hrms = 1 - alpha if len(config.tasks) == 2 else 1.0
    terms = (
        Term("segmentation", jaccard_cross_entropy, "segmentation", "segmentation", alpha),
        Term("hrms", pansharpening_quality, "hrms", "hrms", hrms),
    )
    return tuple(term for term in terms if term.name in config.tasks)
