"""How much of a raster has to be decoded for a single pixel: its tiles or strips, and those of its mask."""

import numpy as np
import rasterio
from rasterio.enums import Interleaving, MaskFlags
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader

from rsmtl.gdal import gdal_name, is_remote
from rsmtl.scene.limits import check_block
from rsmtl.scene.sources import local_path

MAX_DIRECTORIES = 32
"""Of a TIFF, in which its mask is looked for; overviews have one each."""

_REMEDY = "make a COG of it with `gdal_translate -of COG`"


def check_blocks(what: str, href: str, dataset: DatasetReader) -> None:
    """Refuse a raster whose tiles or strips are too large to be decoded, or those of its mask.

    Raises
    ------
    SceneError
        With the size of a block.
    """
    _check(what, dataset)
    flags = {flag for of_band in dataset.mask_flag_enums for flag in of_band}
    if MaskFlags.per_dataset not in flags or MaskFlags.alpha in flags:
        return
    for place in _directories(href):
        try:
            with rasterio.open(place, sharing=False) as mask:
                if mask.shape == dataset.shape:
                    _check(f"the mask of {what}", mask)
        except RasterioIOError:  # there are no more, or this is no TIFF
            break


def _check(what: str, dataset: DatasetReader) -> None:
    n_together = dataset.count if dataset.interleaving is Interleaving.pixel else 1
    for shape, dtype in set(zip(_block_shapes(dataset), dataset.dtypes, strict=True)):
        itemsize = np.dtype(dtype).itemsize if dtype != "complex_int16" else 4  # which NumPy does not know
        check_block(what, (*shape, n_together), itemsize, _REMEDY)


def _block_shapes(dataset: DatasetReader) -> list[tuple[int, int]]:
    """What is decoded at once, by band; GDAL calls the rows of a TIFF's only strip its blocks."""
    shapes: list[tuple[int, int]] = dataset.block_shapes
    is_strip = dataset.driver == "GTiff" and dataset.height > 1 and shapes[0] == (1, dataset.width)
    if is_strip and _has_strip(dataset, 0) and not _has_strip(dataset, 1):
        return [dataset.shape] * dataset.count
    return shapes


def _has_strip(dataset: DatasetReader, number: int) -> bool:
    return dataset.get_tag_item(f"BLOCK_SIZE_0_{number}", "TIFF", bidx=1) is not None


def _directories(href: str) -> list[str]:
    """Where a mask may stand: in a file beside, or in the TIFF itself."""
    if not is_remote(href) and not href.startswith("/vsi"):
        name = str(local_path(href))
        beside = [f"{name}.msk"] if local_path(f"{name}.msk").exists() else []
    else:
        name, beside = gdal_name(href), []
        name = f"/vsicurl/{name}" if name.startswith("http") else name
    return beside or [f"GTIFF_DIR:{k}:{name}" for k in range(2, MAX_DIRECTORIES)]
