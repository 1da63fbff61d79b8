"""Reading the files in which public data sets are distributed: small rasters, whole, with or without georeferencing."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from rsmtl.errors import InputError
from rsmtl.losses import IGNORE


def read_bands(path: Path, n_bands: int | None = None) -> NDArray[Any]:
    """Read the first bands of a raster `(C, H, W)`, all of them unless said.

    Raises
    ------
    InputError
        If the file is missing, broken, or has fewer bands.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path) as file:
                if file.count < (n_bands or 1):
                    raise InputError(f"{path} has {file.count} band(s), expected {n_bands}")
                values: NDArray[Any] = file.read(list(range(1, (n_bands or file.count) + 1)))
                return values
    except (RasterioError, ValueError, OSError) as error:
        raise InputError(f"cannot read {path} as a raster: {' '.join(str(error).split())}") from error


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read `(3, H, W)` uint8, through the palette where the file has one.

    Raises
    ------
    InputError
        If the file is missing or broken, or has neither three bands nor a palette.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path) as file:
                if file.count >= 3:
                    values: NDArray[np.uint8] = file.read([1, 2, 3])
                    return values
                band, palette = file.read(1), np.zeros((3, 256), dtype=np.uint8)
                for index, color in file.colormap(1).items():
                    palette[:, index] = color[:3]
    except (RasterioError, ValueError, OSError) as error:
        raise InputError(
            f"cannot read {path} as an RGB or palette image: {' '.join(str(error).split())}"
        ) from error
    return palette[:, band]


def decode_colors(rgb: NDArray[np.uint8], colors: Sequence[tuple[int, int, int]]) -> NDArray[np.uint8]:
    """Turn a colour mask `(3, H, W)` into indices `(H, W)` of its colours; any other colour becomes `IGNORE`."""
    labels = np.full(rgb.shape[1:], IGNORE, dtype=np.uint8)
    for index, color in enumerate(colors):
        labels[(rgb == np.array(color, dtype=np.uint8)[:, None, None]).all(axis=0)] = index
    return labels


def check_same_size(path: Path, image: tuple[int, ...], truth: tuple[int, ...]) -> None:
    """Raise `InputError` unless image and truth have one height and width."""
    if image[-2:] != truth[-2:]:
        raise InputError(
            f"the truth of {path} has {truth[-2:]} pixels, the image {image[-2:]}: they must agree"
        )
