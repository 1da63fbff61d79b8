"""Wherever xarray's operations leave an array, its pixels are placed where their coordinates say, or it is refused."""

import itertools
from contextlib import suppress

import numpy as np
import pytest
import rioxarray  # noqa: F401
import stackstac
import xarray as xr
import zarr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS as RasterioCRS

from rsmtl.errors import SceneError
from rsmtl.scene.arrays import scene_from_arrays
from rsmtl.scene.open import open_scene
from tests.scene.rasters import write_raster

STEP, LEFT, TOP, N = 10.0, 500_000.0, 5_000_000.0, 24


def plane(x, y):
    """Values that tell where a pixel lies: any mean or interpolation of them tells it too."""
    return (x - LEFT) / STEP * 3 + (TOP - y) / STEP * 100


def array(dtype: str = "float64", transform: bool = True) -> xr.DataArray:
    x, y = LEFT + STEP * (np.arange(N) + 0.5), TOP - STEP * (np.arange(N) + 0.5)
    values = plane(x[None, :], y[:, None])
    found = xr.DataArray(values, dims=("y", "x"), coords={"y": y.astype(dtype), "x": x.astype(dtype)})
    found = found.rio.write_crs("EPSG:32631")
    return found.rio.write_transform(Affine(STEP, 0, LEFT, 0, -STEP, TOP)) if transform else found


def check(found: xr.DataArray) -> tuple[float, ...]:
    """Assert that each pixel is where its value says; return the transform."""
    scene = scene_from_arrays({"image": found}).inputs["image"]
    affine, (height, width) = scene.geobox.affine, scene.geobox.shape
    assert affine.e < 0 < affine.a
    x, y = affine.c + affine.a * (np.arange(width) + 0.5), affine.f + affine.e * (np.arange(height) + 0.5)
    read = scene.read(slice(0, height), slice(0, width))[0]
    np.testing.assert_allclose(read, plane(x[None, :], y[:, None]), atol=2e-2)
    return tuple(affine[:6])


spans = st.tuples(st.integers(0, 8), st.integers(12, N)).map(lambda ends: slice(*ends))
operations = st.one_of(
    st.tuples(st.just("slice"), spans, spans),
    st.tuples(st.just("every"), st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.just("coarsen"), st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.just("sortby"), st.sampled_from(["x", "y"]), st.booleans()),
    st.tuples(st.just("reverse"), st.sampled_from(["x", "y"]), st.none()),
    st.tuples(st.just("interp"), st.floats(0.3, 3.0), st.floats(0.0, 0.9)),
    st.tuples(st.just("transpose"), st.none(), st.none()),
)


def operated(found: xr.DataArray, operation: tuple) -> xr.DataArray:
    match operation:
        case "slice", ys, xs:
            return found.isel(y=ys, x=xs)
        case "every", y, x:
            return found[::y, ::x] if found.dims == ("y", "x") else found[::x, ::y]
        case "coarsen", y, x:
            return found.coarsen(y=y, x=x, boundary="trim").mean()
        case "sortby", dim, ascending:
            return found.sortby(dim, ascending=ascending)
        case "reverse", dim, _:
            return found.isel({dim: slice(None, None, -1)})
        case "interp", zoom, shift:
            step, first, n = float(found.x[1] - found.x[0]), float(found.x[0]), found.sizes["x"]
            places = first + step * (shift + np.arange(int((n - 1 - shift) * zoom)) / zoom)
            return found.interp(x=places) if places.size > 1 else found
        case _:
            return found.transpose()


@given(st.lists(operations, min_size=1, max_size=3), st.sampled_from(["float64", "float32"]), st.booleans())
@settings(max_examples=80, deadline=None)
def test_operations_of_xarray_move_the_pixels_with_their_coordinates(done, dtype, transform):
    found = array(dtype, transform)
    for operation in done:
        found = operated(found, operation)
    if min(found.shape) < 2:
        return
    with suppress(SceneError):  # corners and centres cannot be told apart after some operations
        check(found)


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (("coarsen", 2, 2), (20, 0, LEFT, 0, -20, TOP)),
        (("every", 2, 2), (20, 0, LEFT - 5, 0, -20, TOP + 5)),
        (("sortby", "y", True), (10, 0, LEFT, 0, -10, TOP)),
        (("reverse", "x", None), (10, 0, LEFT, 0, -10, TOP)),
        (("slice", slice(4, 20), slice(2, 20)), (10, 0, LEFT + 20, 0, -10, TOP - 40)),
    ],
)
def test_a_stale_transform_is_not_taken(operation, expected):
    assert check(operated(array(), operation)) == pytest.approx(expected)


@pytest.mark.parametrize(("stored", "exact"), [*itertools.product(["float32", "float64"], [True, False])])
def test_coordinates_in_float32_have_the_grid_of_their_transform_or_one_within_their_precision(stored, exact):
    step = 1 / 3600 / 3
    x, y = 13.25 + step * (np.arange(64) + 0.5), 52.5 - step * (np.arange(64) + 0.5)
    coords = {"lat": y.astype("float32").astype(stored), "lon": x.astype("float32").astype(stored)}
    found = xr.DataArray(np.ones((64, 64), "u1"), dims=("lat", "lon"), coords=coords).rio.write_crs(4326)
    told = Affine(step, 0, 13.25, 0, -step, 52.5)
    if exact:
        found = found.rio.write_transform(told)
    affine = scene_from_arrays({"image": found}).inputs["image"].geobox.affine
    if exact:
        assert affine == told
    assert affine.a == pytest.approx(step, rel=2e-3)
    assert affine.f == pytest.approx(52.5, abs=2e-6)


def test_coordinates_too_coarse_for_their_pixels_are_refused():
    y = (5_000_000 - 0.5 * (np.arange(64) + 0.5)).astype("float32")
    x = (500_000 + 0.5 * (np.arange(64) + 0.5)).astype("float32")
    found = xr.DataArray(np.ones((64, 64), "u1"), dims=("y", "x"), coords={"y": y, "x": x})
    with pytest.raises(SceneError, match=r"unevenly|too coarse"):
        scene_from_arrays({"image": found.rio.write_crs(32631)})


def stacked(tmp_path, **how) -> xr.DataArray:
    x, y = LEFT + STEP * (np.arange(N) + 0.5), TOP - STEP * (np.arange(N) + 0.5)
    write_raster(
        tmp_path / "a.tif",
        plane(x[None, :], y[:, None])[None].astype("float32"),
        transform=Affine(STEP, 0, LEFT, 0, -STEP, TOP),
    )
    item = {
        "id": "a",
        "properties": {"datetime": None, "proj:epsg": 32631},
        "assets": {
            "a": {
                "href": str(tmp_path / "a.tif"),
                "proj:shape": [N, N],
                "proj:transform": [STEP, 0, LEFT, 0, -STEP, TOP],
            }
        },
    }
    found = stackstac.stack(item, assets=["a"], epsg=32631, properties=False, band_coords=False, **how)
    return found.isel(time=0, band=0, drop=True).compute()


@pytest.mark.parametrize("corner", ["topleft", "center"])
def test_what_stackstac_gives_lies_where_it_is(tmp_path, corner):
    found = stacked(tmp_path, xy_coords=corner)
    assert check(found) == pytest.approx((10, 0, LEFT, 0, -10, TOP))
    assert check(found.isel(y=slice(5, 20), x=slice(3, 21))) == pytest.approx(
        (10, 0, LEFT + 30, 0, -10, TOP - 50)
    )
    check(found.sortby("y"))
    check(found[::3, ::3])
    check(found.coarsen(y=3, x=3).mean())
    with pytest.raises(SceneError, match="corners or of their centres"):
        check(found.coarsen(y=2, x=2).mean())


def test_the_remedy_for_corners_works(tmp_path):
    found = stacked(tmp_path, xy_coords="center").coarsen(y=2, x=2).mean()
    found.attrs.pop("transform", None)
    assert check(found) == pytest.approx((20, 0, LEFT, 0, -20, TOP))


def test_corners_beside_a_transform_are_refused(tmp_path):
    found = array()
    found = found.assign_coords(x=found.x - 5, y=found.y + 5)
    with pytest.raises(SceneError, match="corners or of their centres"):
        check(found)


@pytest.mark.parametrize("ascending", [False, True])
def test_a_pyramid_in_a_zarr_store(tmp_path, ascending):
    whole = array().to_dataset(name="dn")
    if ascending:
        whole = whole.sortby("y")
    whole.to_zarr(tmp_path / "p.zarr", group="0")
    whole.coarsen(y=2, x=2).mean().to_zarr(tmp_path / "p.zarr", group="1", mode="a")
    found = [open_scene(str(tmp_path / "p.zarr" / level)).inputs["dn"].geobox.affine for level in "01"]
    assert tuple(found[0][:6]) == (10, 0, LEFT, 0, -10, TOP)
    assert tuple(found[1][:6]) == (20, 0, LEFT, 0, -20, TOP)


def test_one_row_has_the_size_its_transform_says_unless_it_was_another(tmp_path):
    assert check(array().isel(y=slice(0, 1))) == (10, 0, LEFT, 0, -10, TOP)
    for found in (array(transform=False).isel(y=slice(0, 1)), array().isel(y=slice(3, 4))):
        with pytest.raises(SceneError, match="one pixel along y"):
            check(found)


@pytest.mark.parametrize("crs", ["crs_wkt", "spatial_ref"])
def test_a_store_made_by_hand(tmp_path, crs):
    group = zarr.create_group(tmp_path / "c.zarr")
    group.create_array("dn", shape=(4, 4), chunks=(4, 4), dtype="u1", dimension_names=("y", "x"))[:] = 1
    group["dn"].attrs["grid_mapping"] = "grid"
    for name, places in (("x", 5 + 20 * np.arange(4)), ("y", 80.0 - 20 * np.arange(4))):
        group.create_array(name, shape=(4,), chunks=(4,), dtype="f8", dimension_names=(name,))[:] = places
    group.create_array("grid", shape=(), dtype="i8", dimension_names=())
    group["grid"].attrs.update(
        {crs: RasterioCRS.from_epsg(32631).to_wkt(), "GeoTransform": "0 10 0 90 0 -10"}
    )
    assert tuple(open_scene(str(tmp_path / "c.zarr")).inputs["dn"].geobox.affine[:6]) == (
        20,
        0,
        -5,
        0,
        -20,
        90,
    )
