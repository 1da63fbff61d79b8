"""Buildings in Kampala: RGB tiles of OpenAerialMap at about 7 cm with masks from OpenStreetMap.

The folder holds `images/OAM-x-y-z.tif` and `masks/OAM-x-y-z.tif` (0 other, 1 building) with x, y and z of the usual
web map. The 112 tiles of z = 21 are the data. The 28 of z = 20 show the same ground at half the resolution and are not
read.
"""

from functools import partial
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from rsmtl.datasets.files import check_same_size, read_bands
from rsmtl.datasets.scene import LABELS, About, Layer, SceneSource, Split, labels_layer
from rsmtl.errors import InputError
from rsmtl.losses import IGNORE
from rsmtl.models.spec import ClassSpec
from rsmtl.radiometry import Radiometry

CLASSES = (ClassSpec(name="other", color=(245, 221, 163)), ClassSpec(name="building", color=(191, 95, 74)))

GSD_M = 0.0744
"""On the ground: a pixel of z = 21 is 0.0746 m wide in the map's own metres, at 0.3° N and S."""

PARENTS: dict[tuple[int, int], Split] = {
    **dict.fromkeys(product((619212,), (523272, 523273)), "train"),
    (619213, 523272): "validation",
    (619213, 523273): "test",
    **dict.fromkeys(product((619224, 619225, 619226, 619227), range(523264, 523268)), "train"),
    **dict.fromkeys(product((619228,), range(523264, 523268)), "validation"),
    **dict.fromkeys(product((619229,), range(523264, 523268)), "test"),
}
"""From x and y of a tile of z = 20 to the split that has all four tiles of its ground.

Whole columns of the larger site, and the densely built smaller one in all three; of 28, 18 are for training, 5 for
validation and 5 for test.
"""

RADIOMETRY = Radiometry(low=(0.0,), high=(255.0,))


class KampalaData(BaseModel):
    """The data set in a folder that holds `images` and `masks`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["kampala"] = "kampala"

    def about(self) -> About:
        """Return what all scenes have in common."""
        return About({"image": ("red", "green", "blue")}, CLASSES, {"image": RADIOMETRY}, GSD_M)

    def sources(self, folder: Path) -> tuple[SceneSource, ...]:
        """List the tiles of z = 21.

        Raises
        ------
        InputError
            If there is none.
        """
        if not any(folder.glob("images/OAM-*-21.tif")):
            raise InputError(
                f"there are no images in {folder}: the Kampala data set has images/OAM-x-y-21.tif and masks of the "
                "same names in masks"
            )
        return tuple(
            SceneSource(f"{x}-{y}", split, partial(_read, folder, f"OAM-{x}-{y}-21.tif"))
            for (parent_x, parent_y), split in PARENTS.items()
            for y, x in product((2 * parent_y, 2 * parent_y + 1), (2 * parent_x, 2 * parent_x + 1))
        )


def _read(folder: Path, name: str) -> dict[str, Layer]:
    path = folder / "images" / name
    image, mask = read_bands(path, 3), read_bands(folder / "masks" / name, 1)[0]
    check_same_size(path, image.shape, mask.shape)
    labels = np.where(mask < len(CLASSES), mask, IGNORE).astype(np.uint8)
    return {"image": Layer(image, RADIOMETRY), LABELS: labels_layer(labels)}
