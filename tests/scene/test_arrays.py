import dask.array as da
import numpy as np
import pytest
import rioxarray
import xarray as xr
from odc.geo.geobox import GeoBox

from rsmtl.errors import SceneError
from rsmtl.scene.arrays import scene_from_arrays
from tests.scene.rasters import CRS, grid, image, write_raster


def georeferenced(values, dims=("band", "y", "x"), transform=None, **attrs):
    array = xr.DataArray(values, dims=dims, attrs=attrs)
    return array.rio.write_crs(CRS).rio.write_transform(transform or grid())


def opened(array):
    found = scene_from_arrays({"image": array}).inputs["image"]
    return found, found.read(slice(0, found.geobox.shape[0]), slice(0, found.geobox.shape[1]))


def test_an_array_in_memory():
    values = image(2, 6, 5)
    found, read = opened(georeferenced(values))
    np.testing.assert_array_equal(read, values)
    assert found.geobox == GeoBox((6, 5), grid(), CRS)
    assert (found.bands, found.storage.dtype, found.storage.masked) == (("1", "2"), "uint16", False)
    assert found.data.dtype == np.float32


def test_sentinel_scale_and_offset_in_attributes_are_applied():
    values = image(1, 6, 5)
    values[0, 1, 2] = 0
    found, read = opened(georeferenced(values, _FillValue=0, scale_factor=0.5, add_offset=10.0))
    expected = values * 0.5 + 10
    expected[0, 1, 2] = np.nan
    np.testing.assert_array_equal(read, expected)
    assert (found.storage.nodata, found.storage.scale, found.storage.offset) == (0, (0.5,), (10.0,))


@pytest.mark.parametrize("how", [{}, {"masked": True}, {"mask_and_scale": True}])
def test_what_rioxarray_opens_is_scaled_once_however_it_was_opened(tmp_path, how):
    values = image(2, 6, 5, "int16")
    values[:, 1, 2] = -5
    path = write_raster(tmp_path / "a.tif", values, nodata=-5, scales=(0.5, 0.5), offsets=(10.0, 10.0))
    found, read = opened(rioxarray.open_rasterio(path, **how))
    expected = values * 0.5 + 10
    expected[:, 1, 2] = np.nan
    np.testing.assert_array_equal(read, expected)
    assert (found.storage.dtype, found.storage.nodata) == ("int16", -5)
    assert (found.storage.scale, found.storage.offset) == ((0.5,), (10.0,))


def test_bands_last_dask_and_two_dimensions():
    values = image(3, 6, 5)
    lazy = da.from_array(np.moveaxis(values, 0, -1), chunks=2)
    np.testing.assert_array_equal(opened(georeferenced(lazy, ("y", "x", "band")))[1], values)
    np.testing.assert_array_equal(opened(georeferenced(values[0], ("y", "x")))[1], values[:1])
    with_time = georeferenced(values[:, None], ("band", "time", "y", "x"))
    np.testing.assert_array_equal(opened(with_time)[1], values)


def test_ascending_latitudes_are_turned():
    values = image(1, 6, 5)
    array = xr.DataArray(
        values,
        dims=("band", "lat", "lon"),
        coords={"lat": 40 + np.arange(6) * 0.1, "lon": 5 + np.arange(5) * 0.1},
    ).rio.write_crs("EPSG:4326")
    found, read = opened(array)
    np.testing.assert_array_equal(read, values[:, ::-1])
    np.testing.assert_allclose(found.geobox.affine[:6], (0.1, 0, 4.95, 0, -0.1, 40.55), atol=1e-12)


def test_band_names_come_from_the_coordinate_or_from_long_name():
    array = georeferenced(image(2, 4, 4))
    assert opened(array.assign_coords(band=["red", "nir"]))[0].bands == ("red", "nir")
    assert opened(array.assign_attrs(long_name=("red", "nir")))[0].bands == ("red", "nir")


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (
            xr.DataArray(image(1, 4, 4), dims=("band", "y", "x")),
            "array 'image' has no coordinate reference system",
        ),
        (
            georeferenced(image(1, 4, 4, "complex64")),
            "array 'image' holds complex64 values: give integers or real",
        ),
        (
            xr.DataArray(image(1, 4, 4), dims=("a", "b", "c")),
            "has the dimensions a, b, c: two must be called y and x",
        ),
        (georeferenced(image(3, 4, 4), ("time", "y", "x")), "has the dimensions time, y, x: select one time"),
        (georeferenced(image(4, 4, 4).reshape(2, 2, 4, 4), ("band", "z", "y", "x")), "select one time"),
        (georeferenced(image(1, 0, 4)), r"is empty, its shape is \(1, 0, 4\)"),
        (georeferenced(image(1, 4, 4)).assign_coords(y=[4.0, 3, 2, 0]), "has unevenly spaced coordinates y"),
    ],
)
def test_what_cannot_be_used_is_refused(array, said):
    with pytest.raises(SceneError, match=said):
        scene_from_arrays({"image": array})
