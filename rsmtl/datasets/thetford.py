"""GRSS Data Fusion Contest 2014, Thetford Mines: two RGB orthophotos of 20 cm, six classes.

The folder, or folders in it, hold ENVI files, each with its header (`.hdr`):

- training: `TelopsDatasetCityVisible_20cm_Subset.img` (red, green, blue) and `TrainingMap_ENVI_RAW_format.raw`;
- test: `TelopsDatasetCityVisible.img` and its map, of which no public description gives the name: see
  `ThetfordData.test_map`.

In the maps 0 is unlabelled, and the contest's seven classes are taken to be 1 to 7 in the order of its legend: road,
tree, red roof, grey roof, concrete roof, vegetation, bare soil; see `ThetfordData.numbers`.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from rsmtl.datasets.files import check_same_size, read_bands
from rsmtl.datasets.layout import Rectangle, quarter_split
from rsmtl.datasets.scene import LABELS, About, Layer, SceneSource, Split, labels_layer
from rsmtl.errors import InputError
from rsmtl.losses import IGNORE
from rsmtl.models.spec import ClassSpec
from rsmtl.radiometry import Radiometry

CLASSES = (
    ClassSpec(name="road", color=(255, 0, 255)),
    ClassSpec(name="tree", color=(0, 255, 0)),
    ClassSpec(name="red roof", color=(255, 0, 0)),
    ClassSpec(name="grey roof", color=(0, 255, 255)),
    ClassSpec(name="concrete roof", color=(160, 32, 240)),
    ClassSpec(name="vegetation", color=(46, 139, 87)),
)
"""In the contest's colours. Its seventh class, bare soil, is left out as Pereira and dos Santos, 2020, do: `IGNORE`."""

RADIOMETRY = Radiometry(low=(0.0,), high=(255.0,))

_TRAINING = "TelopsDatasetCityVisible_20cm_Subset.img", "TrainingMap_ENVI_RAW_format.raw"
_TEST = "TelopsDatasetCityVisible.img"
_MULTIPLE_PX = 8
"""Borders between splits stay whole pixels in images of an eighth of the resolution."""


class ThetfordData(BaseModel):
    """The contest's visible data, in a folder that holds its unpacked archives.

    The test is the contest's. It publishes no validation: the top left quarter of the training scene is held out. The
    test scene is the larger one and may show the ground of the training scene again; the contest keeps their labels
    apart, and its maps are taken as they are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["thetford"] = "thetford"
    test_map: str = "TestMap_ENVI_RAW_format.raw"
    """Name of the file with the labels of the test scene: any raster of one band and the scene's size."""
    numbers: tuple[Annotated[int, Field(ge=1, le=255)], ...] = Field(
        (1, 2, 3, 4, 5, 6), min_length=len(CLASSES), max_length=len(CLASSES)
    )
    """What road, tree, red roof, grey roof, concrete roof and vegetation are in the maps; all else is `IGNORE`."""

    def about(self) -> About:
        """Return what all scenes have in common."""
        return About({"image": ("red", "green", "blue")}, CLASSES, {"image": RADIOMETRY}, gsd_m=0.2)

    def sources(self, folder: Path) -> tuple[SceneSource, ...]:
        """List the two scenes.

        Raises
        ------
        InputError
            If neither is there.
        """
        image, labels = (_find(folder, name) for name in _TRAINING)
        test_image, test_labels = (_find(folder, name) for name in (_TEST, self.test_map))
        if not image.exists() and not test_image.exists():
            raise InputError(
                f"there are no images in {folder}: the Thetford data set has {_TRAINING[0]} and {_TEST}, each with its "
                ".hdr, there or in folders below"
            )
        return (
            SceneSource("training", _split, partial(_read, image, labels, self.numbers)),
            SceneSource("test", "test", partial(_read, test_image, test_labels, self.numbers)),
        )


def _find(folder: Path, name: str) -> Path:
    """Return where a file lies in the folder or below it, or where it should."""
    found = sorted(path for path in folder.rglob("*") if path.name == name)
    return found[0] if found else folder / name


def _split(height: int, width: int) -> Mapping[Split, tuple[Rectangle, ...]]:
    quarter, rest = quarter_split(height, width, _MULTIPLE_PX)
    return {"train": rest, "validation": (quarter,)}


def _read(path: Path, map_path: Path, numbers: tuple[int, ...]) -> dict[str, Layer]:
    image, numbered = read_bands(path, 3), read_bands(map_path, 1)[0]
    check_same_size(path, image.shape, numbered.shape)
    labels = np.full(numbered.shape, IGNORE, dtype=np.uint8)
    for index, number in enumerate(numbers):
        labels[numbered == number] = index
    if (labels == IGNORE).all():
        raise InputError(
            f"{map_path} has none of the labels {', '.join(map(str, numbers))}: say in `data.numbers` what the classes "
            "are in it"
        )
    return {"image": Layer(image, RADIOMETRY), LABELS: labels_layer(labels)}
