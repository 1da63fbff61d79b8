"""Arrays that xarray holds, in memory or lazily, as inputs of a scene."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
import rioxarray  # noqa: F401  # gives arrays their `.rio`
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rioxarray.exceptions import RioXarrayError

from rsmtl.errors import SceneError
from rsmtl.scene.grid import checked_grid, north_up
from rsmtl.scene.lazy import lazy_bands
from rsmtl.scene.limits import check_bands, check_size
from rsmtl.scene.listed import listed
from rsmtl.scene.physical import check_scaling, to_physical
from rsmtl.scene.placement import transform_of
from rsmtl.scene.reason import reason
from rsmtl.scene.scene import Scene, SceneInput, SourceFile, Storage


@dataclass(frozen=True)
class ArrayReader:
    """Reads regions of an array of stored values."""

    array: xr.DataArray
    """Any order of dimensions; backed by memory, a file or Dask."""
    dims: tuple[str, str, str]
    """What the array calls its dimensions `(band, y, x)`; it has no first one if it has one band only."""
    nodata: tuple[float | None, ...]
    scale: tuple[float, ...]
    offset: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(bands, H, W)`."""
        band, y, x = (self.array.sizes.get(dim, 1) for dim in self.dims)
        return band, y, x

    def read(self, y: slice, x: slice) -> NDArray[np.float32]:
        """Return `(bands, h, w)` float32 physical values, NaN where invalid."""
        region = self.array.isel({self.dims[1]: y, self.dims[2]: x}).compute(scheduler="synchronous")
        values = region.transpose(*self.dims, missing_dims="ignore").values
        return to_physical(values if values.ndim == 3 else values[None], self.nodata, self.scale, self.offset)


def scene_from_arrays(
    arrays: Mapping[str, xr.DataArray],
    scene_id: str = "memory",
    properties: Mapping[str, Any] | None = None,
    *,
    allow_no_crs: bool = False,
) -> Scene:
    """Return a scene whose inputs are georeferenced arrays, such as rioxarray gives.

    Sentinel, scale and offset are taken from the arrays' attributes (`_FillValue`, `scale_factor`,
    `add_offset`) unless xarray has applied them already.

    Parameters
    ----------
    arrays
        By input name, `(y, x)` or with one more dimension for the bands, with a CRS (`.rio.write_crs`).
    allow_no_crs
        Take arrays without a CRS, too; what is made of them has none either.

    Raises
    ------
    SceneError
        If an array has no CRS, no regular north-up grid, or more dimensions.
    """
    inputs = {
        name: input_from_array(name, f"array {name!r}", array, allow_no_crs=allow_no_crs)
        for name, array in arrays.items()
    }
    return Scene(id=scene_id, inputs=inputs, properties=dict(properties or {}))


def input_from_array(
    name: str,
    what: str,
    array: xr.DataArray,
    sources: tuple[SourceFile, ...] = (),
    *,
    allow_no_crs: bool = False,
) -> SceneInput:
    """Return an array as an input; nothing is loaded.

    Parameters
    ----------
    what
        What the messages call the array.
    """
    if array.dtype.kind not in "biuf":
        raise SceneError(f"{what} holds {array.dtype} values: give integers or real numbers")
    array, dims = _with_bands(what, array)
    check_size(what, (array.sizes[dims[1]], array.sizes[dims[2]]))  # before a coordinate is read
    array = _west_to_east(array, dims[2])
    geobox = _grid(what, array, dims, allow_no_crs)
    n = array.sizes.get(dims[0], 1)
    check_bands(what, n)
    bands, storage = _names(array, dims[0], n), _storage(array, n)
    check_scaling(what, *(per_band(numbers, n) for numbers in (storage.scale, storage.offset)))
    reader = ArrayReader(  # what xarray has decoded is in `encoding`; what is left to do is in `attrs`
        array=array.drop_vars(array.coords).drop_attrs(),
        dims=dims,
        nodata=(array.rio.nodata if array.rio.encoded_nodata is None else None,) * n,
        scale=per_band(_numbers(array.attrs.get("scale_factor"), 1.0, n), n),
        offset=per_band(_numbers(array.attrs.get("add_offset"), 0.0, n), n),
    )
    data, geobox = north_up(lazy_bands(reader, bands), geobox)
    return SceneInput(name=name, data=data, geobox=geobox, storage=storage, bands=bands, sources=sources)


def per_band(values: Sequence[float], n: int) -> tuple[float, ...]:
    """Return one number for each of `n` bands."""
    return tuple(values) if len(values) == n else tuple(values[:1]) * n


def _with_bands(what: str, array: xr.DataArray) -> tuple[xr.DataArray, tuple[str, str, str]]:
    """Leave bands, y and x, or y and x alone, and say what they are called.

    A dimension for a single band is not added: xarray would read the whole array to do so.
    """
    if {"lat", "lon"} <= set(array.dims):  # rioxarray knows them by their long names only
        array = array.rename(lat="latitude", lon="longitude")
    try:
        y, x = array.rio.y_dim, array.rio.x_dim
    except RioXarrayError as error:
        raise SceneError(
            f"{what} has the dimensions {listed(array.dims)}: two must be called y and x (or lat and lon)"
        ) from error
    rest = [dim for dim in array.dims if dim not in (y, x)]
    single = [dim for dim in rest if array.sizes[dim] == 1 and dim != "band"]
    several = [dim for dim in rest if dim not in single]
    if len(several) > 1 or any(
        np.issubdtype(array[dim].dtype, np.datetime64) or dim == "time" for dim in several
    ):
        raise SceneError(
            f"{what} has the dimensions {listed(array.dims)}: select one time, so that only bands, y and x are left"
        )
    array = array.isel(dict.fromkeys(single, 0), drop=True)
    if 0 in array.shape:
        raise SceneError(f"{what} is empty, its shape is {array.shape}: give an array with pixels")
    band = several[0] if several else "band"
    return array, (str(band), str(y), str(x))


def _grid(what: str, array: xr.DataArray, dims: tuple[str, str, str], allow_no_crs: bool) -> GeoBox:
    shape = (array.sizes[dims[1]], array.sizes[dims[2]])
    try:
        with rasterio.Env():  # or GDAL would print what it thinks of the CRS
            crs = array.rio.crs
    except Exception as error:  # rioxarray passes on whatever PROJ and pyproj raise
        raise SceneError(
            f"{what} has a coordinate reference system that cannot be understood ({reason(error)}): write the right "
            "one, for example with rioxarray's `rio.write_crs`"
        ) from error
    affine = Affine.identity()
    if crs or (allow_no_crs and (dims[1] in array.coords or "spatial_ref" in array.coords)):
        affine = transform_of(what, array, dims[1:])
    return checked_grid(what, crs, affine, shape, allow_no_crs)


def _west_to_east(array: xr.DataArray, x: str) -> xr.DataArray:
    """Turn columns that run east to west, by their coordinates, lazily."""
    if x not in array.coords or array.sizes[x] < 2 or array[x].dtype.kind not in "iuf":
        return array
    try:
        first, last = (float(array[x][k]) for k in (0, -1))
    except Exception:  # what cannot be read is told of where all of it is read
        return array
    return array.isel({x: slice(None, None, -1)}) if last < first else array


def _names(array: xr.DataArray, band: str, n: int) -> tuple[str, ...]:
    """Names from the band coordinate or, as rioxarray writes them, from `long_name`; else numbers from 1 on."""
    told = array.attrs.get("long_name")
    if isinstance(told, (tuple, list)) and len(told) == n:
        return tuple(map(str, told))
    if band in array.coords and array[band].dtype.kind in "OUT":
        return tuple(map(str, array[band].values))
    return tuple(str(k) for k in range(1, n + 1))


def _storage(array: xr.DataArray, n: int) -> Storage:
    said = {**array.attrs, **array.encoding}
    dtype = np.dtype(said.get("dtype") or array.dtype)
    nodata = array.rio.encoded_nodata if array.rio.encoded_nodata is not None else array.rio.nodata
    return Storage(
        dtype=dtype.name,
        nodata=None if nodata is None else float(nodata),
        scale=_numbers(said.get("scale_factor"), 1.0, n),
        offset=_numbers(said.get("add_offset"), 0.0, n),
        masked=dtype.kind == "f",
    )


def _numbers(said: Any, default: float, n: int) -> tuple[float, ...]:
    numbers = np.atleast_1d(default if said is None else said).astype(float)
    return tuple(numbers.tolist()) if numbers.size in (1, n) else (default,)
