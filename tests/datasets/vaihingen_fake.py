"""A small data set in exactly the layout of ISPRS Vaihingen, and a writer of rasters that all fakes share."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

from rsmtl.datasets.vaihingen import AREAS, CLASSES

ALL = sorted({area for areas in AREAS["urec"].values() for area in areas})
PARTICIPANTS = (1, 3, 5, 7, 11, 13, 15, 17, 21, 23, 26, 28, 30, 32, 34, 37)
"""The areas whose truth was public during the contest."""
SHAPE = (96, 104)


def write_fake_vaihingen(folder: Path, truths: tuple[str, ...] = ("COMPLETE", "eroded_COMPLETE")) -> None:
    """Write all 33 areas and, for each of the truths, all of theirs, as the archives unpack."""
    rng = np.random.default_rng(0)
    colors = np.array([c.color for c in CLASSES], dtype=np.uint8)
    archive = folder / "ISPRS_semantic_labeling_Vaihingen"
    for area in ALL:
        name = f"top_mosaic_09cm_area{area}"
        labels = labels_of(area)
        image = rng.integers(0, 256, (3, *SHAPE), dtype=np.uint8)
        image[:, 0, 0] = (area, 2, 3)
        write_raster(archive / "top" / f"{name}.tif", image)
        truth = colors[labels].transpose(2, 0, 1)
        if "COMPLETE" in truths:
            write_raster(folder / f"{archive.name}_ground_truth_COMPLETE" / f"{name}.tif", truth)
        if "participants" in truths and area in PARTICIPANTS:
            write_raster(archive / "gts_for_participants" / f"{name}.tif", truth)
        if "eroded_COMPLETE" in truths:
            eroded = truth * (borders(labels) == 0)
            place = folder / f"{archive.name}_ground_truth_eroded_COMPLETE"
            write_raster(place / f"{name}_noBoundary.tif", eroded)


def labels_of(area: int) -> NDArray[np.integer]:
    """Return class indices in blocks of 8 pixels."""
    coarse = np.random.default_rng(area).integers(0, 6, (SHAPE[0] // 8, SHAPE[1] // 8))
    return coarse.repeat(8, 0).repeat(8, 1)


def borders(labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return where a pixel's right or lower neighbour is of another class."""
    found = np.zeros(labels.shape, dtype=bool)
    found[:-1] |= labels[:-1] != labels[1:]
    found[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    return found


def write_raster(path: Path, bands: NDArray[Any], driver: str = "GTiff") -> None:
    """Write `(B, H, W)` of any type, without georeferencing, into a folder that is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = bands.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver, width, height, count, dtype=bands.dtype) as file:
            file.write(bands)
