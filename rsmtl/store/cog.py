"""Cloud Optimized GeoTIFFs, written with memory that does not grow with the scene."""

import errno
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import odc.geo.xr  # noqa: F401  (the .odc accessor)
import rasterio
import rasterio.shutil
import xarray as xr
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioError
from rasterio.io import DatasetWriter
from rasterio.windows import Window

from rsmtl.models.spec import ClassSpec
from rsmtl.store.place import Place, replacing, temporary

_BLOCK_PX = 512
"""Edge of the COG's internal tiles."""
_CACHE_BYTES = 16 * 2**20
"""GDAL's block cache while a file is written; by itself it would take 5 % of the machine's memory."""
_READ_BYTES = 8 * 2**20
"""Pixels taken from the source at once."""
_FULL_BYTES = 2**20
"""A disk with less free is called full in any case."""
_COLORS = {"red": ColorInterp.red, "green": ColorInterp.green, "blue": ColorInterp.blue}


def write_cog(
    data: xr.DataArray,
    path: Place,
    *,
    nodata: float | None,
    bands: tuple[str, ...],
    mask: xr.DataArray | None = None,
    classes: tuple[ClassSpec, ...] = (),
    band_scale: tuple[float, ...] = (1.0,),
    band_offset: tuple[float, ...] = (0.0,),
    unit: str = "",
) -> None:
    """Write a georeferenced array as a COG with overviews.

    The pixels pass block by block through a temporary tiled GeoTIFF, which GDAL's COG driver then reorders;
    only a bounded number of blocks is in memory. `path` appears when it is complete and has been read back.

    Parameters
    ----------
    data
        `(band, y, x)`, read lazily: from a file, a Zarr store, or Dask (chunk by chunk, each computed once,
        one after the other). Its grid is what `data.odc.geobox` says.
    nodata
        Stored value of pixels that are not valid; None if there is none.
    mask
        `(1, y, x)` uint8, 255 where all bands are valid and 0 where they are not: becomes the file's own mask.
    bands
        Descriptions of the bands; `red`, `green` and `blue` are also marked as those colours.
    classes
        Of a class map `(1, y, x)` uint8: names and colours go into its colour table, overviews take the most
        frequent class. Without classes, overviews take the mean.
    band_scale, band_offset
        `physical = stored × band_scale + band_offset`; one number for all bands, or one per band.
    unit
        Of the physical values; empty if there is none.

    Raises
    ------
    RunError
        If the file cannot be written.
    """
    with (
        rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES, GDAL_TIFF_INTERNAL_MASK=True),
        replacing(path) as finished,
        temporary(path) as tiled,
        _gdal_errors(tiled),
    ):
        with _create(tiled, data, nodata) as target:
            _describe(target, bands, classes, band_scale, band_offset, unit)
            checksums = _copy_pixels(data, mask, target)
        rasterio.shutil.copy(
            tiled,
            finished,
            driver="COG",
            blocksize=_BLOCK_PX // 2 if data.shape[-1] == _BLOCK_PX else _BLOCK_PX,  # or readers see strips
            bigtiff="IF_SAFER",
            compress="DEFLATE",
            level=1,
            predictor="NO" if classes else "YES",
            overview_resampling="MODE" if classes else "AVERAGE",
        )
        _read_back(finished, checksums)


def _create(path: Path, data: xr.DataArray, nodata: float | None) -> DatasetWriter:
    """Open the temporary tiled GeoTIFF; lightly compressed, as it may be the size of the scene."""
    geobox = data.odc.geobox
    n_bands, height, width = data.shape
    return rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=n_bands,
        height=height,
        width=width,
        dtype=data.dtype.name,
        nodata=nodata,
        crs=None if geobox.crs is None else str(geobox.crs.to_wkt()),
        transform=geobox.affine,
        tiled=True,
        blockxsize=_BLOCK_PX,
        blockysize=_BLOCK_PX,
        compress="ZSTD",
        zstd_level=1,
        bigtiff="IF_SAFER",
    )


def _describe(
    target: DatasetWriter,
    bands: tuple[str, ...],
    classes: tuple[ClassSpec, ...],
    band_scale: tuple[float, ...],
    band_offset: tuple[float, ...],
    unit: str,
) -> None:
    """Write what the bands mean; before any pixel, as some of it stands in the file's first bytes."""
    target.descriptions = bands
    target.scales = np.broadcast_to(band_scale, len(bands)).tolist()
    target.offsets = np.broadcast_to(band_offset, len(bands)).tolist()
    target.units = [unit] * len(bands)
    if classes:
        target.write_colormap(1, {index: (*c.color, 255) for index, c in enumerate(classes)})
        target.update_tags(1, **{f"class_{index}": c.name for index, c in enumerate(classes)})
    else:
        target.colorinterp = [_COLORS.get(name, ColorInterp.undefined) for name in bands]


def _copy_pixels(
    data: xr.DataArray, mask: xr.DataArray | None, target: DatasetWriter
) -> list[tuple[Window, int]]:
    """Write the pixels, and the mask, region by region; return a checksum of each region."""
    checksums = []
    for y, x in _regions(data):
        region = data.isel({data.dims[1]: y, data.dims[2]: x}).compute(scheduler="synchronous")
        pixels, window = np.ascontiguousarray(region.values), Window.from_slices(y, x)
        target.write(pixels, window=window)
        checksum = zlib.crc32(pixels.data)
        if mask is not None:
            valid = np.ascontiguousarray(mask[0, y, x].compute(scheduler="synchronous").values)
            target.write_mask(valid, window=window)
            checksum = zlib.crc32(valid.data, checksum)
        checksums.append((window, checksum))
    return checksums


def _read_back(path: Path, checksums: list[tuple[Window, int]]) -> None:
    """Refuse a file that does not hold what was written: GDAL does not report each write that failed."""
    with rasterio.open(path) as written:
        n_overviews = len(written.overviews(1))
        for window, checksum in checksums:
            found = zlib.crc32(np.ascontiguousarray(written.read(window=window)).data)
            if written.mask_flag_enums[0] == [MaskFlags.per_dataset]:
                valid = written.read_masks(1, window=window)
                found = zlib.crc32(np.ascontiguousarray(valid).data, found)
            if found != checksum:
                raise OSError("what was written does not read back")
    for level in range(n_overviews):
        with rasterio.open(path, overview_level=level) as overview:
            for _, window in overview.block_windows(1):
                overview.read(window=window)


@contextmanager
def _gdal_errors(tiled: Path) -> Iterator[None]:
    """Turn GDAL's errors into the operating system's; by itself it does not name a full disk.

    A disk is called full if it has no room for two more files like the temporary one: a COG with its overviews,
    which GDAL removes when it fails, and the overviews' own temporary file.
    """
    try:
        yield
    except (RasterioError, CPLE_BaseError) as error:
        needed = 2 * tiled.stat().st_size if tiled.exists() else 0
        if shutil.disk_usage(tiled.parent).free < max(needed, _FULL_BYTES):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise OSError(str(error)) from error


def _regions(data: xr.DataArray) -> Iterator[tuple[slice, slice]]:
    """Cut the array for reading: along Dask's chunks, so that each is computed once, else by bytes."""
    if data.chunks is not None:
        edges = [np.cumsum((0, *sizes)).tolist() for sizes in data.chunks[1:]]
    else:
        pixel_bytes = data.shape[0] * data.dtype.itemsize
        step = max(1, int((_READ_BYTES / pixel_bytes) ** 0.5) // _BLOCK_PX) * _BLOCK_PX
        edges = [[*range(0, length, step), length] for length in data.shape[1:]]
    ys, xs = ([slice(a, b) for a, b in pairwise(axis)] for axis in edges)
    return product(ys, xs)
