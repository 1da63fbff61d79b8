"""Dstl Satellite Imagery Feature Detection (Kaggle): WorldView-3 pairs of 1 km², HRMS, and polygons of trees.

The folder holds what the competition's archives unpack to:

- `sixteen_band/ID_P.tif` (PAN, 0.31 m) and `sixteen_band/ID_M.tif` (eight bands, 1.24 m);
- `three_band/ID.tif` (red, green, blue, pansharpened by the vendor): the HRMS;
- `train_wkt_v4.csv` (`ImageId,ClassType,MultipolygonWKT`), of which class 5 is trees, and `grid_sizes.csv` (ID, `Xmax`,
  `Ymin`), the extent of an image in the polygons' coordinates.

Images of one scene differ by some pixels in size: all begin at the top left, and the rest at the far edges is cut off,
so that PAN has four times the pixels of MS. Polygons were drawn over the three-band images, from which PAN and MS may
be displaced by a pixel or two; that is left as it is.
"""

import csv
from collections.abc import Mapping
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from rsmtl.datasets.files import read_bands
from rsmtl.datasets.layout import Rectangle, quarter_split
from rsmtl.datasets.scene import LABELS, About, Layer, SceneSource, Split, labels_layer
from rsmtl.errors import InputError
from rsmtl.models.spec import ClassSpec
from rsmtl.radiometry import Radiometry

CLASSES = (ClassSpec(name="other", color=(245, 221, 163)), ClassSpec(name="tree", color=(0, 75, 32)))

MS_BANDS = ("coastal", "blue", "green", "yellow", "red", "red_edge", "nir1", "nir2")
"""In the order of the `_M` files, which is that of the sensor."""

ELEVEN_BITS = Radiometry(low=(0.0,), high=(2047.0,))

_RATIO = 4
_MOST_CUT_PX = 32
"""Images of a scene that differ by more PAN pixels do not show the same ground."""
_TREES = "5"
_POLYGONS, _GRID = "train_wkt_v4.csv", "grid_sizes.csv"


class DstlData(BaseModel):
    """The 25 labelled scenes, in a folder that holds the competition's unpacked archives.

    The split is that of Khalel et al., IGARSS 2019: of each image the top left quarter is for validation, the rest for
    training. They publish no test, and there is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["dstl"] = "dstl"
    ms_bands: tuple[Annotated[int, Field(ge=1, le=len(MS_BANDS))], ...] = Field((5, 3, 2), min_length=1)
    """Which of the eight MS bands, counted from 1, in which order; red, green and blue are the bands of the HRMS."""

    def about(self) -> About:
        """Return what all scenes have in common."""
        bands = {
            "pan": ("pan",),
            "ms": tuple(MS_BANDS[number - 1] for number in self.ms_bands),
            "hrms": ("red", "green", "blue"),
        }
        return About(bands, CLASSES, dict.fromkeys(("pan", "ms"), ELEVEN_BITS), gsd_m=0.31)

    def sources(self, folder: Path) -> tuple[SceneSource, ...]:
        """List the scenes that have polygons.

        Raises
        ------
        InputError
            If the table of polygons is missing or broken.
        """
        images = sorted({row[0] for row in _rows(folder / _POLYGONS)})
        return tuple(
            SceneSource(image, _split, partial(_read, folder, image, self.ms_bands)) for image in images
        )


def _split(height: int, width: int) -> Mapping[Split, tuple[Rectangle, ...]]:
    quarter, rest = quarter_split(height, width, _RATIO)
    return {"train": rest, "validation": (quarter,)}


def _read(folder: Path, image: str, ms_bands: tuple[int, ...]) -> dict[str, Layer]:
    pan_path, ms_path = (folder / "sixteen_band" / f"{image}_{kind}.tif" for kind in "PM")
    hrms_path = folder / "three_band" / f"{image}.tif"
    pan, hrms = read_bands(pan_path, 1), read_bands(hrms_path, 3)
    ms = read_bands(ms_path, len(MS_BANDS))[[number - 1 for number in ms_bands]]
    trees = _trees(folder, image, pan.shape[1], pan.shape[2])
    height, width = _common_size(
        pan_path, pan.shape, {ms_path: (ms.shape, _RATIO), hrms_path: (hrms.shape, 1)}
    )
    return {
        "pan": Layer(pan[:, :height, :width], ELEVEN_BITS),
        "ms": Layer(ms[:, : height // _RATIO, : width // _RATIO], ELEVEN_BITS, Fraction(1, _RATIO)),
        "hrms": Layer(hrms[:, :height, :width], ELEVEN_BITS),
        LABELS: labels_layer(trees[:height, :width]),
    }


def _common_size(
    path: Path, pan: tuple[int, ...], others: Mapping[Path, tuple[tuple[int, ...], int]]
) -> tuple[int, int]:
    """Return the height and width that all images of a scene have, in PAN pixels and a whole number of MS pixels.

    Parameters
    ----------
    others
        The shape of each other image, and how many PAN pixels one of its pixels is wide.
    """
    sizes = [pan[1:]]
    for other, (shape, ratio) in others.items():
        size = tuple(ratio * length for length in shape[1:])
        if any(abs(a - b) > _MOST_CUT_PX for a, b in zip(size, pan[1:], strict=True)):
            raise InputError(
                f"{other} has {shape[1:]} pixels, {path} {pan[1:]}: they must show the same ground, MS at a quarter of "
                "PAN's resolution; fetch them again"
            )
        sizes.append(size)
    height, width = (min(lengths) // _RATIO * _RATIO for lengths in zip(*sizes, strict=True))
    return height, width


def _trees(folder: Path, image: str, height: int, width: int) -> NDArray[np.uint8]:
    """Burn the polygons of trees into the grid of an image of this size.

    The competition's rule: x of the polygons times W'/Xmax is the column, y times H'/Ymin the row, where
    W' = W²/(W + 1) and H' = H²/(H + 1).
    """
    try:
        x_max, y_min = next(
            (float(row[1]), float(row[2])) for row in _rows(folder / _GRID) if row[0] == image
        )
        if not (x_max > 0 > y_min):
            raise ValueError(f"Xmax {x_max:g} must be positive and Ymin {y_min:g} negative")
    except StopIteration:
        raise InputError(f"{folder / _GRID} has no extent of {image}: fetch it again") from None
    except ValueError as error:
        raise InputError(f"cannot use the extent of {image} in {folder / _GRID}: {error}") from error
    try:
        shapes = [
            polygon
            for row in _rows(folder / _POLYGONS)
            if row[0] == image and row[1] == _TREES
            for polygon in shapely.get_parts(shapely.from_wkt(row[2]))
        ]
    except shapely.errors.ShapelyError as error:
        raise InputError(
            f"cannot read the trees of {image} in {folder / _POLYGONS}: {' '.join(str(error).split())}"
        ) from error
    to_grid = Affine.scale(x_max * (width + 1) / width**2, y_min * (height + 1) / height**2)
    if not shapes:
        return np.zeros((height, width), dtype=np.uint8)
    burnt: NDArray[np.uint8] = rasterio.features.rasterize(
        shapes, (height, width), transform=to_grid, default_value=1, dtype="uint8"
    )
    return burnt


def _rows(path: Path) -> list[list[str]]:
    """Read a table of three columns without its header."""
    csv.field_size_limit(2**31 - 1)  # multipolygons are longer than Python's default of 128 KiB
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))[1:]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"cannot read {path}: the Dstl data set has {_POLYGONS} and {_GRID} beside three_band and sixteen_band "
            f"({' '.join(str(error).split())})"
        ) from error
    if not rows or any(len(row) != 3 for row in rows):
        raise InputError(f"{path} must have rows of three columns below its header: fetch it again")
    return rows
