"""Where on the Earth a world lies, and images that say so."""

import dask.array
import numpy as np
import rioxarray  # noqa: F401  (the .rio accessor)
import xarray as xr
from affine import Affine

from rsmtl.synthetic.products import ProductSpec

CRS = "EPSG:32632"
"""Every world lies on this grid of metres."""
_WORLD_ORIGIN_M = (500_000.0, 5_400_000.0)
"""Easting and northing of the world's pixel (0, 0)."""


def transform_of(origin_px: tuple[int, int], gsd_m: float, spec: ProductSpec) -> Affine:
    """Return the map from a product's pixels to metres in `CRS`, for a scene at `origin_px` of its world."""
    row, column = origin_px
    east, north = _WORLD_ORIGIN_M
    edge = gsd_m * spec.ratio
    return Affine(edge, 0.0, east + column * gsd_m, 0.0, -edge, north - row * gsd_m)


def place(pixels: dask.array.Array, spec: ProductSpec, transform: Affine) -> xr.DataArray:
    """Return a product's pixels `(band, y, x)` with CRS, transform and nodata in rioxarray's conventions.

    The bands' names are in the attribute `long_name`, as `rioxarray.open_rasterio` has them.
    """
    _, height, width = pixels.shape
    image = xr.DataArray(
        pixels,
        dims=("band", "y", "x"),
        coords={
            "band": np.arange(1, len(spec.bands) + 1),
            "y": transform.f + (np.arange(height) + 0.5) * transform.e,
            "x": transform.c + (np.arange(width) + 0.5) * transform.a,
        },
        attrs={"long_name": spec.bands if len(spec.bands) > 1 else spec.bands[0]},
    )
    placed: xr.DataArray = (
        image.rio.write_crs(CRS).rio.write_transform(transform).rio.write_nodata(spec.nodata)
    )
    return placed
