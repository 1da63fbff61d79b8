"""From labelled scenes to training patches, each of which depends on (seed, epoch, index) alone."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from rsmtl.datasets.layout import Rectangle, strided_patches
from rsmtl.datasets.scene import LABELS, LabelledScene
from rsmtl.errors import InputError
from rsmtl.losses import IGNORE
from rsmtl.symmetry import GROUPS


class Sampling(BaseModel):
    """How patches are drawn from training scenes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    patch_px: int = Field(default=256, gt=0)
    """Edge of a patch in pixels of the data's reference grid: PAN's, or those of the image before it is degraded."""
    patches_per_epoch: int = Field(default=1024, gt=0)
    """Patches drawn at random places; of no account with `stride_px`."""
    stride_px: int | None = Field(default=None, gt=0)
    """Patches lie at multiples of it, each once in an epoch, in an order that changes from epoch to epoch."""
    align_px: int = Field(default=1, gt=0)
    """Patches at random places begin at multiples of it. With the edge of a prepared data set's inner chunks, 256, a
    patch of as many pixels is one read from its shard instead of four."""
    augment: Literal["none", "mirrors", "dihedral"] = "dihedral"
    """Symmetries of the square that a patch may undergo, all equally likely and all layers together: none, the mirrors
    and the half turn, or all eight."""
    zoom: float = Field(default=1.0, ge=1.0, le=16.0)
    """Patches are enlarged or reduced by a factor between 1/zoom and zoom: scenes of other GSD."""
    jitter: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Contrast and brightness of `image` change by up to this share of the range: other haze, light and sensors. PAN,
    MS and HRMS become brighter or darker together by up to this share, as other light makes them."""
    gamma: float = Field(default=1.0, ge=1.0, le=8.0)
    """Values of `image` are raised to a power between 1/gamma and gamma: other tone curves, made for the eye."""


@dataclass(frozen=True)
class Place:
    """Where a patch comes from."""

    scene: LabelledScene
    y: slice
    x: slice

    def __str__(self) -> str:
        return f"{self.scene.name} rows {self.y.start}:{self.y.stop} columns {self.x.start}:{self.x.stop}"


@dataclass(frozen=True)
class Patches:
    """The patches of one epoch. Patch `i` is the same whoever asks for it, whenever, in whatever order."""

    scenes: tuple[LabelledScene, ...]
    sampling: Sampling
    seed: int
    epoch: int

    def __len__(self) -> int:
        return len(self._order) if self.sampling.stride_px else self.sampling.patches_per_epoch

    def place(self, index: int) -> Place:
        """Return where patch `index` lies."""
        return self._place(index, self._generator(index))

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Return every layer's part of a patch: network values `(C, P, P)` float32, labels `(P, P)` int64."""
        rng = self._generator(index)
        place = self._place(index, rng)
        patch = _resized(place.scene.read(place.y, place.x), self.sampling.patch_px)
        group = GROUPS[self.sampling.augment]
        element = group[int(rng.integers(len(group)))]
        patch = {name: element.apply(values).contiguous() for name, values in patch.items()}
        if "image" in patch:
            patch["image"] = _bend(rng, patch["image"], self.sampling.gamma)
            patch["image"] = _jitter(rng, patch["image"], self.sampling.jitter)
        elif self.sampling.jitter:
            light = 1 + self.sampling.jitter * float(rng.uniform(-1, 1))
            patch = {name: values if name == LABELS else values * light for name, values in patch.items()}
        return patch

    def _generator(self, index: int) -> np.random.Generator:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return np.random.default_rng((self.seed, self.epoch, index))

    def _place(self, index: int, rng: np.random.Generator) -> Place:
        if self.sampling.stride_px:
            scene, y, x = self._strided[self._order[index]]
            return Place(scene, slice(y, y + self.sampling.patch_px), slice(x, x + self.sampling.patch_px))
        scene, area = self._areas[int(rng.choice(len(self._areas), p=self._shares))]
        unit = max(self.sampling.align_px, scene.unit_px)
        return Place(scene, *_random_window(rng, area, self.sampling, unit, scene.unit_px))

    @property
    def n_areas(self) -> int:
        """Rectangles that hold a patch."""
        return len(self._areas)

    @cached_property
    def _areas(self) -> list[tuple[LabelledScene, Rectangle]]:
        """What patches are drawn from; where they cannot be enlarged, only what holds one."""
        return [
            (scene, area)
            for scene in self.scenes
            for area in scene.rectangles
            if (scene.unit_px == 1 and min(_lengths(area)) > 0)
            or _holds(area, self.sampling.patch_px, scene.unit_px)
        ]

    @cached_property
    def _shares(self) -> list[float]:
        sizes = [(y.stop - y.start) * (x.stop - x.start) for _, (y, x) in self._areas]
        return [size / sum(sizes) for size in sizes]

    @cached_property
    def _strided(self) -> list[tuple[LabelledScene, int, int]]:
        patch, stride = self.sampling.patch_px, self.sampling.stride_px or 1
        return [
            (scene, area_y.start + y, area_x.start + x)
            for scene, (area_y, area_x) in self._areas
            for y, x in strided_patches(
                area_y.stop - area_y.start, area_x.stop - area_x.start, patch, stride, clamped=False
            )
        ]

    @cached_property
    def _order(self) -> list[int]:
        rng = np.random.default_rng((self.seed, self.epoch))
        return [int(place) for place in rng.permutation(len(self._strided))]


def check_sampling(sampling: Sampling, scenes: tuple[LabelledScene, ...], batch: int) -> None:
    """Refuse what cannot be sampled in batches of so many patches.

    Raises
    ------
    InputError
        If there are no scenes, patches are no whole pixels of every layer, layers of several GSD would be zoomed, or an
        epoch has not even a batch.
    """
    if not scenes:
        raise InputError(
            "the data set has no scene to train on: look at what `rsmtl prepare` reported as missing"
        )
    unit = max(scene.unit_px for scene in scenes)
    for name, edge in (("patch_px", sampling.patch_px), ("stride_px", sampling.stride_px or unit)):
        if edge % unit:
            raise InputError(
                f"sampling.{name} must be a multiple of {unit}, as the layers' GSD differ: got {edge}"
            )
    if unit > 1 and sampling.align_px > 1 and sampling.align_px % unit:
        raise InputError(f"sampling.align_px must be a multiple of {unit}: got {sampling.align_px}")
    if unit > 1 and sampling.zoom > 1:
        raise InputError("layers of several GSD cannot be zoomed and stay registered: set sampling.zoom to 1")
    patches = Patches(scenes, sampling, 0, 0)
    if not patches.n_areas:
        largest = max(min(_lengths(area)) for scene in scenes for area in scene.rectangles)
        raise InputError(
            f"a patch of {sampling.patch_px} px does not fit into any area to train on, the largest has {largest} "
            "px: make sampling.patch_px smaller"
        )
    if len(patches) < batch:
        raise InputError(
            f"an epoch has {len(patches)} patches, fewer than the {batch} of a batch: make the batch or the "
            "stride smaller, or draw more patches"
        )


def windows_of(scene: LabelledScene, size_px: int) -> list[Place]:
    """Cut a whole scene, or its areas, into windows side by side, every pixel in exactly one, for validation.

    At an area's end they are what is left, smaller than `size_px`.
    """
    return [
        Place(scene, slice(y, min(y + size_px, area_y.stop)), slice(x, min(x + size_px, area_x.stop)))
        for area_y, area_x in scene.rectangles
        for y in range(area_y.start, area_y.stop, size_px)
        for x in range(area_x.start, area_x.stop, size_px)
    ]


def read_window(place: Place, size_px: int) -> dict[str, Tensor]:
    """Return what `Patches` does, of one of the windows of a scene, `size_px` on a side.

    Beyond the window's end the layers are mirrored and the labels are `IGNORE`; `counted`, `(P, P)` bool, says which
    pixels of the reference grid lie within and have a value in every layer.
    """
    window = {}
    layers, known = place.scene.read_known(place.y, place.x)
    for name, tensor in layers.items():
        edge, values = int(size_px * place.scene.layers[name].scale), tensor.numpy()
        beyond = [(0, 0)] * (values.ndim - 2) + [(0, edge - length) for length in values.shape[-2:]]
        fill = {"constant_values": IGNORE} if name == LABELS else {"mode": "symmetric"}
        window[name] = torch.from_numpy(np.pad(values, beyond, **fill))
    counted = torch.zeros(size_px, size_px, dtype=torch.bool)
    counted[: known.shape[0], : known.shape[1]] = known
    return {**window, "counted": counted}


def _random_window(
    rng: np.random.Generator, area: Rectangle, sampling: Sampling, unit_px: int, least_px: int
) -> tuple[slice, slice]:
    """Draw a square window that becomes one patch after resizing; a small area limits its size.

    It begins at multiples of `unit_px`, or where the area is too small for that, of `least_px`.
    """
    zoom = sampling.zoom ** rng.uniform(-1.0, 1.0)
    size = max(1, min(round(sampling.patch_px / zoom), *_lengths(area)))
    unit_px = unit_px if _holds(area, size, unit_px) else least_px
    first = [-(-side.start // unit_px) for side in area]
    last = [(side.stop - size) // unit_px for side in area]
    y, x = (unit_px * int(rng.integers(low, high + 1)) for low, high in zip(first, last, strict=True))
    return slice(y, y + size), slice(x, x + size)


def _lengths(area: Rectangle) -> tuple[int, int]:
    y, x = area
    return y.stop - y.start, x.stop - x.start


def _holds(area: Rectangle, size_px: int, unit_px: int) -> bool:
    """Whether a square that begins at multiples of a unit lies in an area."""
    return all(-(-side.start // unit_px) * unit_px + size_px <= side.stop for side in area)


def _resized(patch: dict[str, Tensor], size_px: int) -> dict[str, Tensor]:
    """Bring a patch whose layers all have the reference grid to `size_px`; others have it already."""
    edges = {values.shape[-2:] for values in patch.values()}
    if len(edges) > 1 or edges == {(size_px, size_px)}:
        return patch
    return {name: _resize(values, size_px) for name, values in patch.items()}


def _resize(values: Tensor, size_px: int) -> Tensor:
    size = (size_px, size_px)
    if values.ndim == 2:
        return F.interpolate(values[None, None].float(), size, mode="nearest-exact")[0, 0].long()
    return F.interpolate(values[None], size, mode="bilinear", align_corners=False, antialias=True)[0]


def _bend(rng: np.random.Generator, image: Tensor, amount: float) -> Tensor:
    """Change the tone curve between 0 and 1, of all bands alike; what is below 0 stays."""
    if amount == 1:
        return image
    power = float(amount ** rng.uniform(-1, 1))
    return torch.where(image > 0, image.clamp(min=0) ** power, image)


def _jitter(rng: np.random.Generator, image: Tensor, amount: float) -> Tensor:
    """Change contrast and brightness, all bands together and each a third as much by itself."""
    if amount == 0:
        return image
    bands = (image.shape[0], 1, 1)
    gain = 1 + amount * (rng.uniform(-1, 1) + rng.uniform(-1, 1, bands) / 3)
    offset = amount / 2 * (rng.uniform(-1, 1) + rng.uniform(-1, 1, bands) / 3)
    return image * torch.from_numpy(np.asarray(gain, np.float32)) + torch.from_numpy(
        np.asarray(offset, np.float32)
    )
