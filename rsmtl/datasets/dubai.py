"""Semantic segmentation of aerial imagery of Dubai: 72 RGB images in eight tiles, five classes, CC0."""

from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from rsmtl.datasets.files import check_same_size, decode_colors, read_rgb
from rsmtl.datasets.scene import LABELS, About, Layer, SceneSource, Split, labels_layer
from rsmtl.errors import InputError
from rsmtl.models.spec import ClassSpec
from rsmtl.radiometry import Radiometry

CLASSES = (
    ClassSpec(name="building", color=(206, 101, 94), mask_color=(0x3C, 0x10, 0x98)),
    ClassSpec(name="land", color=(236, 208, 140), mask_color=(0x84, 0x29, 0xF6)),
    ClassSpec(name="road", color=(106, 105, 115), mask_color=(0x6E, 0xC1, 0xE4)),
    ClassSpec(name="vegetation", color=(6, 91, 25), mask_color=(0xFE, 0xDD, 0x3A)),
    ClassSpec(name="water", color=(60, 130, 215), mask_color=(0xE2, 0xA9, 0x29)),
)
"""In colours that look like what they stand for, and that can be told apart by people who do not see all of them."""

MASK_COLORS = tuple(one.mask_color or one.color for one in CLASSES)
"""By class, its colour in the masks. Any other colour is `IGNORE`: unlabeled grey (9B9B9B, 0.5 % of the pixels), which
is where nobody said what there is, and stray black (0.6 %)."""

TILES: dict[int, Split] = {
    **dict.fromkeys((1, 3, 5, 6, 8), "train"),
    2: "validation",
    **dict.fromkeys((4, 7), "test"),
}
"""The images of one tile are neighbours, so a tile is never split."""

RADIOMETRY = Radiometry(low=(0.0,), high=(255.0,))

GSD_M = 0.7
"""Estimated by us: cars are 6 to 7 pixels long. The description says no more than sub-metre, and tiles differ."""


class DubaiData(BaseModel):
    """The data set in a folder that holds `tile1` … `tile8` with images (.jpg) and masks (.png)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["dubai"] = "dubai"

    def about(self) -> About:
        """Return what all scenes have in common."""
        return About({"image": ("red", "green", "blue")}, CLASSES, {"image": RADIOMETRY}, GSD_M)

    def sources(self, folder: Path) -> tuple[SceneSource, ...]:
        """List the scenes.

        Raises
        ------
        InputError
            If a tile is missing or has no image.
        """
        return tuple(
            SceneSource(f"{path.parent.name}/{path.stem}", split, partial(_read, path))
            for tile, split in sorted(TILES.items())
            for path in _images(folder / f"tile{tile}")
        )


def _images(folder: Path) -> list[Path]:
    images = sorted(folder.glob("image_part_*.jpg"))
    if not images:
        raise InputError(
            f"there are no images in {folder}: the Dubai data set has tile1 … tile8, each with "
            "image_part_NNN.jpg and a mask image_part_NNN.png"
        )
    return images


def _read(path: Path) -> dict[str, Layer]:
    image = read_rgb(path)
    labels = decode_colors(read_rgb(path.with_suffix(".png")), MASK_COLORS)
    check_same_size(path, image.shape, labels.shape)
    return {"image": Layer(image, RADIOMETRY), LABELS: labels_layer(labels)}
