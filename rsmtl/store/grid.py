"""The grid of an output, exactly derived from the reference grid."""

from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from rsmtl.store.output import Output


def output_geobox(reference: GeoBox, output: Output) -> GeoBox:
    """Return the grid of an output: same origin, pixels `1 / scale` the size, as many as cover the reference.

    Below scale 1 the last row and column may reach past the reference grid's end, by less than a pixel.
    """
    height, width = (output.size(length) for length in reference.shape)
    up, down = output.scale.numerator, output.scale.denominator
    a, b, c, d, e, f = tuple(reference.affine)[:6]
    # Multiplied, then divided: one rounding at most, where a factor such as 1/3 would bring a second.
    affine = Affine(a * down / up, b * down / up, c, d * down / up, e * down / up, f)
    return GeoBox((height, width), affine, reference.crs)


def grid_coordinates(grid: GeoBox, y: str, x: str) -> dict[Any, xr.DataArray]:
    """Return a grid's coordinates: centres of rows and columns, and CRS and transform in `spatial_ref`.

    Of a grid without a CRS that says the transform alone, which GDAL, rioxarray and odc-geo read.
    """
    coordinates = dict(xr_coords(grid, "spatial_ref", dims=(y, x)))
    if grid.crs is None:
        a, b, c, d, e, f = tuple(grid.affine)[:6]
        transform = " ".join(map(repr, (c, a, b, f, d, e)))
        coordinates["spatial_ref"] = xr.DataArray(np.int32(0), attrs={"GeoTransform": transform})
    return coordinates
