"""Inputs of lower resolution made from what there is: LR for super-resolution, Wald's protocol for pansharpening."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from rsmtl.datasets.scene import LabelledScene, Values
from rsmtl.errors import InputError
from rsmtl.metrics.noreference import MTF_REACH, bring_down


def low_resolution(image: Tensor, factor: int) -> Tensor:
    """Return an image `(C, H, W)` at 1/factor of its resolution, by antialiased bicubic interpolation.

    The operator of Pillow (a = −1/2, support widened by the factor), which the end-to-end D-DBPN and SegNet and DSRL's
    followers use; on floating-point values, without rounding to 8 bits.
    """
    size = [length // factor for length in image.shape[-2:]]
    return F.interpolate(image[None], size, mode="bicubic", align_corners=False, antialias=True)[0]


def _reduced(side: slice, length: int, ratio: int) -> slice:
    """Bring one side of an area to a coarser grid, in whole pixels of MS.

    Within the scene it shrinks by what the filter of MS reaches, so that no pixel has any of another split in it.
    """
    reach = MTF_REACH * ratio
    first = -(-side.start // ratio) + (reach if side.start > 0 else 0)
    last = side.stop // ratio - (reach if side.stop < length else 0)
    first, last = -(-first // ratio) * ratio, last // ratio * ratio
    return slice(first, max(first, last))


@dataclass(frozen=True)
class BroughtDown:
    """A layer as a sensor of a GSD `ratio` times as coarse would see it, window by window, whole pixels only.

    The sensor's modulation transfer function is a Gaussian; see `rsmtl.metrics.noreference.bring_down`. A window has
    the values that it has in the whole layer.
    """

    values: Values
    ratio: int

    @property
    def shape(self) -> tuple[int, ...]:
        """`(C, H // ratio, W // ratio)`."""
        bands, height, width = self.values.shape
        return bands, height // self.ratio, width // self.ratio

    def __getitem__(self, key: tuple[Any, slice, slice]) -> NDArray[np.float32]:
        _, *sides = key
        read, keep = [], []
        for side, length in zip(sides, self.shape[-2:], strict=True):
            first, last = max(0, side.start - MTF_REACH), min(length, side.stop + MTF_REACH)
            read.append(slice(first * self.ratio, last * self.ratio))
            keep.append(slice(side.start - first, side.stop - first))
        fine = np.asarray(self.values[..., read[0], read[1]], dtype=np.float64)
        return bring_down(fine, self.ratio)[:, *keep].astype(np.float32)


def wald(scene: LabelledScene) -> LabelledScene:
    """Return a scene in which PAN and MS are degraded by their ratio, and the MS that there was is the truth `hrms`.

    Wald, Ranchin, Mangolini, "Fusion of satellite images of different spatial resolutions", PERS 1997: what a method
    makes of the degraded pair is compared with the MS that was measured. Labels, if any, have no place at this GSD.

    Raises
    ------
    InputError
        If the scene has no PAN or MS.
    """
    if not {"pan", "ms"} <= scene.layers.keys():
        raise InputError(
            f"Wald's protocol needs the layers pan and ms, {scene.name} has {', '.join(scene.layers)}: leave out `wald`"
        )
    pan, ms = scene.layers["pan"], scene.layers["ms"]
    ratio = ms.scale.denominator
    height, width = scene.shape
    areas = tuple((_reduced(y, height, ratio), _reduced(x, width, ratio)) for y, x in scene.rectangles)
    layers = {
        "pan": replace(pan, values=BroughtDown(pan.values, ratio)),
        "ms": replace(ms, values=BroughtDown(ms.values, ratio)),
        "hrms": replace(ms, scale=pan.scale),
    }
    return LabelledScene(scene.name, layers, areas)
