"""Small outputs and grids that the store's tests share."""

from fractions import Fraction

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from rsmtl.models.spec import ClassSpec
from rsmtl.store.output import Output

CLASSES = (
    ClassSpec(name="bare land", color=(200, 170, 120)),
    ClassSpec(name="forest", color=(20, 110, 40)),
    ClassSpec(name="water", color=(30, 90, 200)),
)
SEGMENTATION = Output(
    name="segmentation",
    head="segmentation",
    bands=("segmentation",),
    dtype="uint8",
    nodata=255,
    scale=Fraction(1),
    classes=CLASSES,
    description="most probable class",
)
HRMS = Output(
    name="hrms",
    head="hrms",
    bands=("red", "green", "blue", "nir"),
    dtype="uint16",
    nodata=0,
    scale=Fraction(1),
    band_scale=(1e-4,),
    band_offset=(-0.1,),
    like="ms",
)
SUPER = Output(
    name="sr", head="sr", bands=("red", "green", "blue"), dtype="uint8", nodata=0, scale=Fraction(4)
)
COARSE = Output(
    name="ms", head="ms", bands=("red", "nir"), dtype="float32", nodata=np.nan, scale=Fraction(1, 4)
)


def utm(height: int, width: int) -> GeoBox:
    return GeoBox((height, width), Affine(10, 0, 399960.5, 0, -10, 3500000), "EPSG:32633")


def array_of(geobox: GeoBox, values: NDArray[np.generic]) -> xr.DataArray:
    return xr.DataArray(values, dims=("band", "y", "x"), coords=xr_coords(geobox, dims=("y", "x")))


def blobs(height: int, width: int, n: int, seed: int = 0) -> NDArray[np.uint8]:
    """A class map with patches of 16 pixels."""
    coarse = np.random.default_rng(seed).integers(0, n, (-(-height // 16), -(-width // 16)), dtype=np.uint8)
    return np.kron(coarse, np.ones((16, 16), np.uint8))[:height, :width]
