"""A labelled scene: layers on grids that fit together, read window by window."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import lcm
from statistics import median
from typing import Any, Literal, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from rsmtl.datasets.layout import Rectangle
from rsmtl.losses import IGNORE
from rsmtl.models.spec import ClassSpec
from rsmtl.radiometry import Radiometry

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

LABELS = "segmentation"
"""The layer of class indices; every other one has bands."""


class Values(Protocol):
    """What NumPy arrays, Zarr arrays and files that are read on demand have in common."""

    @property
    def shape(self) -> tuple[int, ...]:
        """`(C, H, W)`, or `(H, W)` of labels."""

    def __getitem__(self, key: Any, /) -> Any:
        """Return the pixels of a window as an array."""


@dataclass(frozen=True)
class Layer:
    """One raster of a scene."""

    values: Values
    """Stored values `(C, H, W)`, or labels `(H, W)` uint8: class index or `IGNORE`."""
    radiometry: Radiometry = field(default_factory=Radiometry)
    """Fixed: fitted to this scene if the model's is measured per scene, as a prediction does. None of labels."""
    scale: Fraction = Fraction(1)
    """Pixels per pixel of the scene's reference grid: 1/4 for MS of a 4:1 pair."""
    gsd_m: float | None = None
    """On the ground, of the layer as it was measured; None where its file does not say."""

    def read(self, y: slice, x: slice) -> Tensor:
        """Return a window given in reference pixels: network values `(C, h, w)` float32, or labels `(h, w)` int64."""
        rows, cols = (slice(int(s.start * self.scale), int(s.stop * self.scale)) for s in (y, x))
        values = np.asarray(self.values[..., rows, cols])
        if values.ndim == 2:
            return torch.from_numpy(values.astype(np.int64))
        return torch.from_numpy(self.radiometry.to_network(values.astype(np.float32)))


@dataclass(frozen=True)
class LabelledScene:
    """A scene with its truth."""

    name: str
    layers: Mapping[str, Layer]
    """By name: `image`, or `pan` and `ms`; `segmentation`; `hrms`."""
    areas: tuple[Rectangle, ...] = ()
    """Where patches may lie, in reference pixels; no patch straddles two. Everywhere unless given."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in reference pixels."""
        layer = next(layer for layer in self.layers.values() if layer.scale == 1)
        height, width = layer.values.shape[-2:]
        return height, width

    @property
    def gsd_m(self) -> float | None:
        """GSD of the reference grid, where its files tell."""
        known = (
            layer.gsd_m for layer in self.layers.values() if layer.scale == 1 and layer.gsd_m is not None
        )
        return next(known, None)

    @property
    def rectangles(self) -> tuple[Rectangle, ...]:
        """The areas, or the whole scene."""
        height, width = self.shape
        return self.areas or ((slice(0, height), slice(0, width)),)

    @property
    def unit_px(self) -> int:
        """Windows begin and end at multiples of it, so that they are whole pixels of every layer."""
        return lcm(*(layer.scale.denominator for layer in self.layers.values()))

    def read(self, y: slice, x: slice) -> dict[str, Tensor]:
        """Return a window of all layers; see `Layer.read`.

        A pixel that a layer has no value for (NaN) is 0 in network values, as in a prediction, and its label `IGNORE`.
        """
        return self.read_known(y, x)[0]

    def read_known(self, y: slice, x: slice) -> tuple[dict[str, Tensor], Tensor]:
        """Return what `read` does, and `(h, w)` bool: which reference pixels every layer has a value for."""
        window = {name: layer.read(y, x) for name, layer in self.layers.items()}
        known = torch.ones(y.stop - y.start, x.stop - x.start, dtype=torch.bool)
        for name, values in window.items():
            if name != LABELS and not (finite := torch.isfinite(values)).all():
                window[name] = torch.where(finite, values, 0.0)
                known &= F.interpolate(finite.all(dim=0)[None, None].float(), known.shape)[0, 0] == 1
        if LABELS in window and window[LABELS].shape == known.shape:
            window[LABELS][~known] = IGNORE
        return window, known

    def within(self, areas: tuple[Rectangle, ...]) -> "LabelledScene":
        """Return the scene with other areas."""
        return replace(self, areas=areas)


@dataclass(frozen=True)
class About:
    """What all scenes of a data set have in common."""

    bands: Mapping[str, tuple[str, ...]]
    """Of each layer but the labels."""
    classes: tuple[ClassSpec, ...]
    radiometry: Mapping[str, Radiometry]
    """What a model's spec declares of each input."""
    gsd_m: float | None = None
    """Of the reference grid, as the data set's description has it; None if it has none, or scenes differ."""


@dataclass(frozen=True)
class SceneSource:
    """A scene that has not been read."""

    name: str
    split: Split | Callable[[int, int], Mapping[Split, tuple[Rectangle, ...]]]
    """The split that has all of it, or from its height and width to what each split has of it."""
    read: Callable[[], Mapping[str, Layer]]
    """Raises `InputError` if a file is missing or broken; can travel to another process."""

    def open(self) -> dict[Split, LabelledScene]:
        """Read the scene; the same layers stand in each of its splits."""
        scene = LabelledScene(self.name, self.read())
        if isinstance(self.split, str):
            return {self.split: scene}
        return {split: scene.within(areas) for split, areas in self.split(*scene.shape).items()}


@dataclass(frozen=True)
class Splits:
    """A data set, split so that no pixel is in two parts."""

    about: About
    train: tuple[LabelledScene, ...]
    validation: tuple[LabelledScene, ...]
    test: tuple[LabelledScene, ...]

    @property
    def gsd_m(self) -> float | None:
        """GSD of the reference grid: that of the description, or the median of the scenes to train on."""
        if self.about.gsd_m is not None:
            return self.about.gsd_m
        found = [gsd_m for scene in self.train if (gsd_m := scene.gsd_m) is not None]
        return median(found) if found else None


def open_splits(
    about: About, sources: tuple[SceneSource, ...], alive: Callable[[], None] = lambda: None
) -> Splits:
    """Read the scenes of a data set; the first that is missing or broken raises its `InputError`.

    `alive` is called after each.
    """
    opened = []
    for source in sources:
        opened.append(source.open())
        alive()
    parts = {split: tuple(scenes[split] for scenes in opened if split in scenes) for split in SPLITS}
    return Splits(about, **parts)


def labels_layer(labels: NDArray[np.integer]) -> Layer:
    """Return the layer of class indices `(H, W)`; what is negative or above 254 is `IGNORE`."""
    known = (labels >= 0) & (labels < IGNORE)
    return Layer(np.where(known, labels, IGNORE).astype(np.uint8))
