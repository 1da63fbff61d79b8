"""Brazilian coffee: SPOT 5 images (green, red, near infrared) of three towns in Minas Gerais, coffee or not.

The folder holds, for the towns `guaxupe`, `montesanto` and `guaranesia`, images `TOWNn.jpeg` and masks
`TOWNn_mask.jpeg` (white is coffee). There is no public description of the layout: the names of Monte Santo's files are
those that code of the group that made the data set reads, the other towns' are assumed alike, and `.jpg`, `.png` and
`.tif` are read too.
"""

import re
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from rsmtl.datasets.files import check_same_size, read_bands
from rsmtl.datasets.scene import LABELS, About, Layer, SceneSource, Split, labels_layer
from rsmtl.errors import InputError
from rsmtl.models.spec import ClassSpec
from rsmtl.radiometry import Radiometry

CLASSES = (ClassSpec(name="other", color=(0, 0, 0)), ClassSpec(name="coffee", color=(255, 255, 255)))
"""In the masks' own colours."""

TOWNS: dict[str, Split] = {"guaxupe": "train", "montesanto": "train", "guaranesia": "test"}
"""Pereira and dos Santos, 2020."""

RADIOMETRY = Radiometry(low=(0.0,), high=(255.0,))

_HELD_OUT = 5
"""One image in so many of a training town is for validation."""
_COFFEE_FROM = 127
_SUFFIXES = (".jpeg", ".jpg", ".png", ".tif")
_FILE = re.compile(rf"({'|'.join(TOWNS)})(\d+)(?:_mask)?(?:{'|'.join(map(re.escape, _SUFFIXES))})")


class CoffeeData(BaseModel):
    """The data set in a folder of images `TOWNn.jpeg` and masks `TOWNn_mask.jpeg`.

    Guaranésia is the test, as published. No validation is: of each training town, Guaxupé and Monte Santo, the last
    fifth of the images in the order of their numbers is held out, at least one, unless the town has only one. Images of
    a town may be neighbours, but do not overlap.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["coffee"] = "coffee"

    def about(self) -> About:
        """Return what all scenes have in common."""
        return About({"image": ("green", "red", "nir")}, CLASSES, {"image": RADIOMETRY})

    def sources(self, folder: Path) -> tuple[SceneSource, ...]:
        """List the images.

        Raises
        ------
        InputError
            If there is none of a town.
        """
        return tuple(
            SceneSource(f"{town}{number}", part, partial(_read, folder, f"{town}{number}"))
            for town, split in TOWNS.items()
            for number, part in _parts(_numbers(folder, town), split)
        )


def _numbers(folder: Path, town: str) -> list[int]:
    """Numbers of a town's images and masks: where one of the two is missing, reading says so."""
    found = (_FILE.fullmatch(path.name) for path in folder.glob(f"{town}*"))
    numbers = sorted({int(match[2]) for match in found if match and match[1] == town})
    if not numbers:
        raise InputError(
            f"there are no images of {town} in {folder}: the coffee data set has TOWNn.jpeg and TOWNn_mask.jpeg for "
            f"{', '.join(TOWNS)}"
        )
    return numbers


def _parts(numbers: list[int], split: Split) -> list[tuple[int, Split]]:
    n_kept = len(numbers)
    if split == "train" and len(numbers) > 1:
        n_kept -= max(1, len(numbers) // _HELD_OUT)
    return [(number, split if i < n_kept else "validation") for i, number in enumerate(numbers)]


def _read(folder: Path, stem: str) -> dict[str, Layer]:
    path, mask_path = _file(folder, stem), _file(folder, f"{stem}_mask")
    image, mask = read_bands(path, 3), read_bands(mask_path, 1)[0]
    check_same_size(path, image.shape, mask.shape)
    labels = (mask >= _COFFEE_FROM).astype(np.uint8)
    return {"image": Layer(image, RADIOMETRY), LABELS: labels_layer(labels)}


def _file(folder: Path, stem: str) -> Path:
    files = [folder / f"{stem}{suffix}" for suffix in _SUFFIXES]
    return next((file for file in files if file.exists()), files[0])
