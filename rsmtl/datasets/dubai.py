"""Semantic segmentation of aerial imagery of Dubai: 72 RGB images in eight tiles, six classes, CC0."""

import warnings
from pathlib import Path
from typing import Literal

import numpy as np
import rasterio
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from rsmtl.datasets.patches import LabelledScene, Splits
from rsmtl.errors import InputError
from rsmtl.losses import IGNORE
from rsmtl.models.spec import ClassSpec
from rsmtl.radiometry import Radiometry

CLASSES = (
    ClassSpec(name="building", color=(0x3C, 0x10, 0x98)),
    ClassSpec(name="land", color=(0x84, 0x29, 0xF6)),
    ClassSpec(name="road", color=(0x6E, 0xC1, 0xE4)),
    ClassSpec(name="vegetation", color=(0xFE, 0xDD, 0x3A)),
    ClassSpec(name="water", color=(0xE2, 0xA9, 0x29)),
    ClassSpec(name="unlabeled", color=(0x9B, 0x9B, 0x9B)),
)
"""In the masks' own colours. Any other colour (stray black, 0.6 % of the pixels) is `IGNORE`."""

TRAIN_TILES, VALIDATION_TILES, TEST_TILES = (1, 3, 5, 6, 8), (2,), (4, 7)
"""The images of one tile are neighbours, so a tile is never split."""

RADIOMETRY = Radiometry(low=(0.0,), high=(255.0,))


class DubaiData(BaseModel):
    """Which data set a training uses: this one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["dubai"] = "dubai"


def load_dubai(folder: Path) -> Splits:
    """Read the data set from `folder`, which holds `tile1` … `tile8` with images (.jpg) and masks (.png).

    Raises
    ------
    InputError
        If a tile, an image or a mask is missing or cannot be read, or if a mask does not fit its image.
    """
    train, validation, test = (
        tuple(scene for tile in tiles for scene in _read_tile(folder / f"tile{tile}"))
        for tiles in (TRAIN_TILES, VALIDATION_TILES, TEST_TILES)
    )
    return Splits(train, validation, test, ("red", "green", "blue"), CLASSES, RADIOMETRY)


def decode_mask(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn a colour mask `(3, H, W)` into class indices `(H, W)`; colours of no class become `IGNORE`."""
    labels = np.full(rgb.shape[1:], IGNORE, dtype=np.uint8)
    for index, spec in enumerate(CLASSES):
        labels[(rgb == np.array(spec.color, dtype=np.uint8)[:, None, None]).all(axis=0)] = index
    return labels


def _read_tile(folder: Path) -> list[LabelledScene]:
    images = sorted(folder.glob("image_part_*.jpg"))
    if not images:
        raise InputError(
            f"there are no images in {folder}: the Dubai data set has tile1 … tile8, each with "
            "image_part_NNN.jpg and a mask image_part_NNN.png"
        )
    return [_read_scene(path) for path in images]


def _read_scene(path: Path) -> LabelledScene:
    image, labels = _read_rgb(path), decode_mask(_read_rgb(path.with_suffix(".png")))
    if image.shape[1:] != labels.shape:
        raise InputError(
            f"the mask of {path} is {labels.shape} pixels, the image {image.shape[1:]}: they must agree"
        )
    return LabelledScene(f"{path.parent.name}/{path.stem}", image, labels, RADIOMETRY)


def _read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read `(3, H, W)` uint8, through the palette where the file has one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path) as file:
                values: NDArray[np.uint8] = file.read()[:3]
                if file.count > 1:
                    return values
                palette = np.zeros((3, 256), dtype=np.uint8)
                for index, color in file.colormap(1).items():
                    palette[:, index] = color[:3]
    except (RasterioError, ValueError) as error:
        raise InputError(f"cannot read {path} as an RGB or palette image: {error}") from error
    return palette[:, values[0]]
