import numpy as np
import pyproj
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from rsmtl.errors import SceneError
from rsmtl.scene.grid import PIXEL_GRID, checked_grid, crs_name, epsg_of, north_up, same_grid
from tests.scene.rasters import CRS, grid


def test_a_north_up_grid_is_taken_as_it_is():
    assert checked_grid("'x'", CRS, grid(), (5, 7)) == GeoBox((5, 7), grid(), CRS)


def test_noise_in_the_rotation_terms_is_dropped():
    affine = Affine(10, 1e-13, 5e5, -1e-13, -10, 5e6)
    assert checked_grid("'x'", CRS, affine, (5, 7)).affine == Affine(10, 0, 5e5, 0, -10, 5e6)


@pytest.mark.parametrize(
    ("crs", "affine", "said"),
    [
        (None, grid(), "'x' has no coordinate reference system: assign the right one"),
        ("", grid(), "'x' has no coordinate reference system"),
        (CRS, Affine.identity(), "'x' has no affine transform"),
        (CRS, grid() @ Affine.rotation(3), "'x' lies on a rotated or sheared grid"),
        (CRS, Affine(10, 0.01, 0, 0, -10, 0), "'x' lies on a rotated or sheared grid"),
        (CRS, Affine(-10, 0, 0, 0, -10, 0), "'x' has columns that run east to west"),
        ("EPSG:999999", grid(), "'x' has a coordinate reference system that PROJ does not understand"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_the_remedy(crs, affine, said):
    with pytest.raises(SceneError, match=said):
        checked_grid("'x'", crs, affine, (500, 700))


def test_rows_that_run_south_to_north_are_turned_and_stay_on_the_ground():
    values = xr.DataArray(np.arange(6.0).reshape(1, 3, 2), dims=("band", "y", "x"))
    south_up = GeoBox((3, 2), Affine(10, 0, 100, 0, 10, 200), CRS)
    turned, geobox = north_up(values, south_up)
    assert geobox.affine == Affine(10, 0, 100, 0, -10, 230)
    assert geobox.boundingbox == south_up.boundingbox
    assert turned[0, :, 0].values.tolist() == [4, 2, 0]


def test_same_grid_tells_a_shift_of_a_millionth_pixel_at_any_corner():
    one = GeoBox((1000, 1000), grid(), CRS)
    assert same_grid(one, GeoBox((1000, 1000), grid(dx=9e-6), CRS))
    assert not same_grid(one, GeoBox((1000, 1000), grid(dx=2e-5), CRS))
    assert not same_grid(one, GeoBox((1000, 1000), grid(gsd=10 + 1e-7), CRS))  # 1e-5 pixels at the far corner
    assert not same_grid(one, GeoBox((1000, 999), grid(), CRS))
    assert not same_grid(one, GeoBox((1000, 1000), grid(), "EPSG:32632"))


def test_well_known_text_becomes_its_code_and_other_systems_keep_their_name():

    coded = checked_grid("'x'", pyproj.CRS(CRS).to_wkt(), grid(), (5, 5))
    assert (str(coded.crs), epsg_of(coded), crs_name(coded)) == (CRS, 32631, CRS)
    named = checked_grid("'x'", "+proj=laea +lat_0=12 +lon_0=34", grid(), (5, 5))
    assert epsg_of(named) is None
    assert crs_name(named) == "unknown"


def test_what_lies_nowhere_has_the_grid_of_its_pixels_or_of_its_transform():
    nowhere = checked_grid("'x'", None, Affine.identity(), (3, 4), allow_no_crs=True)
    assert (nowhere.crs, nowhere.shape, nowhere.affine) == (None, (3, 4), PIXEL_GRID)
    local = Affine(0.5, 0, 100, 0, -0.5, 200)
    assert checked_grid("'x'", None, local, (3, 4), allow_no_crs=True) == GeoBox((3, 4), local, None)
    with pytest.raises(SceneError, match="rotated or sheared"):
        checked_grid("'x'", None, Affine(10, 3, 0, 3, -10, 0), (300, 400), allow_no_crs=True)
    with pytest.raises(SceneError, match="no affine transform"):
        checked_grid("'x'", CRS, Affine.identity(), (3, 4), allow_no_crs=True)
