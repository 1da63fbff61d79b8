"""From labelled scenes to training patches: random windows that depend on (seed, epoch, index) alone."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.utils.data import Dataset

from rsmtl.losses import IGNORE
from rsmtl.models.spec import ClassSpec
from rsmtl.radiometry import Radiometry
from rsmtl.symmetry import GROUPS


@dataclass(frozen=True)
class LabelledScene:
    """A scene with its truth, in memory."""

    name: str
    image: NDArray[np.integer]
    """`(C, H, W)` stored values."""
    labels: NDArray[np.uint8]
    """`(H, W)` class index, or `IGNORE`."""
    radiometry: Radiometry
    """Fixed: fitted to this scene if the model's is measured per scene, as a prediction does."""


@dataclass(frozen=True)
class Splits:
    """A data set, split so that no scene is in two parts."""

    train: tuple[LabelledScene, ...]
    validation: tuple[LabelledScene, ...]
    test: tuple[LabelledScene, ...]
    bands: tuple[str, ...]
    classes: tuple[ClassSpec, ...]
    radiometry: Radiometry
    """What the model's spec declares."""


class Sampling(BaseModel):
    """How patches are drawn from training scenes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    patch_px: int = Field(default=256, gt=0)
    """Edge of a patch as the model sees it."""
    patches_per_epoch: int = Field(default=1024, gt=0)
    zoom: float = Field(default=1.0, ge=1.0)
    """Patches are enlarged or reduced by a factor between 1/zoom and zoom: scenes of other GSD."""
    jitter: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Contrast and brightness change by up to this share of the range: other haze, light and sensors."""


@dataclass(frozen=True)
class Patches(Dataset[dict[str, Tensor]]):
    """The patches of one epoch. Patch `i` is the same whoever asks for it, whenever, in whatever order."""

    scenes: tuple[LabelledScene, ...]
    sampling: Sampling
    seed: int
    epoch: int

    def __len__(self) -> int:
        return self.sampling.patches_per_epoch

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Return `image`, `(C, P, P)` float32 network values, and `segmentation`, `(P, P)` int64 labels."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        rng = np.random.default_rng((self.seed, self.epoch, index))
        area = np.array([scene.labels.size for scene in self.scenes], dtype=np.float64)
        scene = self.scenes[rng.choice(len(self.scenes), p=area / area.sum())]
        y, x = _random_window(rng, scene.labels.shape, self.sampling)
        image = torch.from_numpy(scene.radiometry.to_network(scene.image[:, y, x].astype(np.float32)))
        labels = torch.from_numpy(scene.labels[y, x].astype(np.int64))
        image, labels = _resize(image, labels, self.sampling.patch_px)
        element = GROUPS["dihedral"][int(rng.integers(8))]
        image, labels = element.apply(image).contiguous(), element.apply(labels).contiguous()
        return {"image": _jitter(rng, image, self.sampling.jitter), "segmentation": labels}


def scene_windows(scene: LabelledScene, size_px: int) -> Iterator[dict[str, Tensor]]:
    """Cut a whole scene into windows side by side, every pixel in exactly one, for validation.

    Yields what `Patches` does, `size_px` on a side. Beyond the scene's end the image is reflected and the
    labels are `IGNORE`.
    """
    height, width = scene.labels.shape
    beyond = ((0, -height % size_px), (0, -width % size_px))
    image = np.pad(
        scene.radiometry.to_network(scene.image.astype(np.float32)), ((0, 0), *beyond), mode="reflect"
    )
    labels = np.pad(scene.labels, beyond, constant_values=IGNORE).astype(np.int64)
    for y in range(0, height, size_px):
        for x in range(0, width, size_px):
            window = (slice(y, y + size_px), slice(x, x + size_px))
            yield {
                "image": torch.from_numpy(image[:, *window].copy()),
                "segmentation": torch.from_numpy(labels[window].copy()),
            }


def _random_window(
    rng: np.random.Generator, shape: tuple[int, ...], sampling: Sampling
) -> tuple[slice, slice]:
    """Draw a square window that becomes one patch after resizing; a small scene limits its size."""
    zoom = sampling.zoom ** rng.uniform(-1.0, 1.0)
    size = min(round(sampling.patch_px / zoom), *shape)
    y, x = (int(rng.integers(length - size + 1)) for length in shape)
    return slice(y, y + size), slice(x, x + size)


def _resize(image: Tensor, labels: Tensor, size_px: int) -> tuple[Tensor, Tensor]:
    if labels.shape == (size_px, size_px):
        return image, labels
    size = (size_px, size_px)
    image = F.interpolate(image[None], size, mode="bilinear", align_corners=False, antialias=True)[0]
    nearest = F.interpolate(labels[None, None].float(), size, mode="nearest-exact")[0, 0]
    return image, nearest.long()


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
