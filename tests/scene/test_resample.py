import numpy as np
import pyproj
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.warp import rio_reproject

from rsmtl.scene.resample import BLOCK_PX, ResampledReader
from rsmtl.scene.scene import SceneInput, Storage
from tests.scene.rasters import CRS, ORIGIN, grid

SHIFTED = GeoBox((700, 600), grid(dx=3.7, dy=-2.9), CRS)
HALF = GeoBox((700, 600), grid(dx=5, dy=5), CRS)
FINER = GeoBox((1100, 600), grid(gsd=4.9999), CRS)
COARSER = GeoBox((260, 240), grid(gsd=25, dx=11), CRS)
OTHER_CRS = GeoBox((640, 500), Affine(0.00012, 0, 3.0, 0, -0.00009, 45.15), "EPSG:4326")


def source(values, geobox=None):
    geobox = geobox or GeoBox(values.shape[1:], grid(), CRS)
    data = xr.DataArray(values.astype(np.float32), dims=("band", "y", "x"))
    return SceneInput("ms", data, geobox, Storage("float32", masked=True), tuple("abcdef"[: len(values)]))


def whole(reader):
    return reader.read(slice(0, reader.shape[1]), slice(0, reader.shape[2]))


def noise(seed=0):
    values = np.random.default_rng(seed).normal(1000, 100, (2, 720, 640))
    values[:, ::97, ::89] = np.nan
    values[0, 300:320, 250:260] = np.nan
    return values


@pytest.mark.parametrize("resampling", ["bilinear", "cubic"])
@pytest.mark.parametrize(
    ("target", "tolerance_px"),
    [(SHIFTED, 1e-3), (HALF, 1e-3), (FINER, 1e-3), (COARSER, 0.02), (OTHER_CRS, 0.02)],
    ids=["shifted", "half", "finer", "coarser", "other CRS"],
)
def test_a_ramp_of_coordinates_is_reproduced(target, resampling, tolerance_px):
    own = GeoBox((720, 640), grid(), CRS)
    cols, rows = np.meshgrid(np.arange(640) + 0.5, np.arange(720) + 0.5)
    got = whole(ResampledReader(source(np.stack([cols, rows]), own), target, resampling))
    x, y = target.affine @ np.stack(np.meshgrid(*(np.arange(n) + 0.5 for n in target.shape[::-1]))).reshape(
        2, -1
    )
    east, north = pyproj.Transformer.from_crs(str(target.crs), CRS, always_xy=True).transform(x, y)
    want = np.stack([(east - ORIGIN[0]) / 10, (ORIGIN[1] - north) / 10]).reshape(2, *target.shape)
    inner = (want[0] > 4) & (want[0] < 636) & (want[1] > 4) & (want[1] < 716)
    assert inner.mean() > 0.5
    assert np.abs(got - want)[:, inner].max() < tolerance_px


@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "cubic"])
@pytest.mark.parametrize("target", [SHIFTED, HALF, FINER], ids=["shifted", "half", "finer"])
def test_blocks_make_no_difference(target, resampling):
    found = source(noise())
    got = whole(ResampledReader(found, target, resampling))
    at_once = rio_reproject(
        found.data.values,
        np.full((2, *target.shape), np.nan, np.float32),
        found.geobox,
        target,
        resampling=resampling,
        src_nodata=np.nan,
        dst_nodata=np.nan,
        ydim=1,
    )
    np.testing.assert_array_equal(np.isnan(got), np.isnan(at_once))
    np.testing.assert_allclose(
        got, at_once, rtol=2e-7
    )  # the last bit: GDAL counts pixels from the block's corner


@pytest.mark.parametrize("target", [SHIFTED, COARSER, OTHER_CRS], ids=["shifted", "coarser", "other CRS"])
def test_a_value_does_not_depend_on_the_region_asked_for(target):
    reader = ResampledReader(source(noise()), target, "cubic")
    everything = whole(reader)
    rng = np.random.default_rng(1)
    for _ in range(12):
        (y0, y1), (x0, x1) = (np.sort(rng.choice(n, 2, replace=False)) for n in target.shape)
        np.testing.assert_array_equal(reader.read(slice(y0, y1), slice(x0, x1)), everything[:, y0:y1, x0:x1])


@pytest.mark.parametrize("resampling", ["bilinear", "cubic"])
@pytest.mark.parametrize("target", [SHIFTED, FINER, COARSER], ids=["shifted", "finer", "coarser"])
def test_the_mask_neither_grows_nor_leaks(target, resampling):
    values = np.full((2, 720, 640), 7.0)
    values[:, 100:140, 200:230] = np.nan
    values[0, 300, 300] = np.nan
    nearest = whole(ResampledReader(source(values), target, "nearest"))
    got = whole(ResampledReader(source(values), target, resampling))
    np.testing.assert_array_equal(np.isnan(got), np.isnan(nearest))
    np.testing.assert_allclose(got[np.isfinite(got)], 7.0, rtol=1e-6)  # nothing but valid pixels went into it


def test_one_invalid_pixel_costs_one_pixel_of_its_own_band():
    values = np.ones((2, 720, 640))
    values[1, 300, 300] = np.nan
    lost = np.isnan(whole(ResampledReader(source(values), SHIFTED, "cubic"))[:, 4:-30, 4:-4])
    assert lost.sum(axis=(1, 2)).tolist() == [0, 1]


def test_outside_of_the_source_there_is_nothing():
    target = GeoBox((2 * BLOCK_PX, 2 * BLOCK_PX), grid(dx=-10 * BLOCK_PX), CRS)
    reader = ResampledReader(source(np.ones((1, BLOCK_PX, BLOCK_PX))), target, "bilinear")
    got = whole(reader)[0]
    assert reader.overlaps
    assert np.isfinite(got[:BLOCK_PX, BLOCK_PX:]).all()
    got[:BLOCK_PX, BLOCK_PX:] = np.nan
    assert np.isnan(got).all()
    far = GeoBox((9, 9), grid(dx=1e5), CRS)
    assert not ResampledReader(reader.source, far, "bilinear").overlaps
    assert np.isnan(whole(ResampledReader(reader.source, far, "bilinear"))).all()


def test_shifted_by_whole_pixels_the_values_stay():
    values = noise()
    target = GeoBox((300, 200), grid(dx=170, dy=-230), CRS)
    got = whole(ResampledReader(source(values), target, "bilinear"))
    np.testing.assert_array_equal(got, values[:, 23:323, 17:217].astype(np.float32))


def test_shrinking_averages():
    values = np.random.default_rng(0).normal(0, 1, (1, 640, 640))
    target = GeoBox((64, 64), grid(gsd=100), CRS)
    got = whole(ResampledReader(source(values), target, "bilinear"))
    assert got.std() < 0.2  # a sample of single pixels would keep 1; a mean over 10 × 10 has 0.1


PAN_AT_180 = GeoBox((120, 130), Affine(500, 0, 130_000, 0, -500, 1.1e6), "EPSG:32601")


@pytest.mark.parametrize(
    ("target", "own"),
    [
        (PAN_AT_180, GeoBox((200, 200), Affine(0.01, 0, 179, 0, -0.01, 10.5), "EPSG:4326")),
        (PAN_AT_180, GeoBox((200, 36_000), Affine(0.01, 0, 0, 0, -0.01, 10.5), "EPSG:4326")),
        (PAN_AT_180, GeoBox((200, 200), Affine(0.01, 0, -181, 0, -0.01, 10.5), "EPSG:4326")),
        (PAN_AT_180, GeoBox((260, 260), Affine(1000, 0, 19_900_000, 0, -1000, 1.24e6), "EPSG:3857")),
        (PAN_AT_180, GeoBox((500, 400), Affine(1000, 0, 700_000, 0, -1000, 1.3e6), "EPSG:32660")),
        (GeoBox((90, 300), Affine(0.005, 0, 179.5, 0, -0.005, 10), "EPSG:4326"), PAN_AT_180.zoom_out(0.2)),
        (
            GeoBox((90, 100), Affine(0.005, 0, 179.5, 0, -0.005, 10), "EPSG:4326"),
            GeoBox((200, 200), Affine(0.01, 0, -181, 0, -0.01, 10.5), "EPSG:4326"),
        ),
        (
            GeoBox((300, 300), Affine(4000, 0, -600_000, 0, -4000, 600_000), "EPSG:3413"),
            GeoBox((200, 7200), Affine(0.05, 0, -180, 0, -0.05, 90), "EPSG:4326"),
        ),
    ],
    ids=[
        "degrees",
        "0 to 360",
        "from -181",
        "mercator",
        "UTM 60",
        "onto degrees",
        "degrees both",
        "the pole",
    ],
)
def test_places_where_longitudes_jump_have_their_values(target, own):
    """A source that covers the target leaves no pixel without a value, and each has that of its place."""
    east, north = (axis.astype(np.float64) for axis in np.meshgrid(*places(own)))
    lon, lat = to_degrees(own, east, north)
    values = np.stack([np.cos(np.radians(lon)) * 100, lat])  # which do not jump with the longitudes
    got = whole(ResampledReader(source(values, own), target, "bilinear"))
    x, y = np.meshgrid(*places(target))
    lon, lat = to_degrees(target, x, y)
    valid = np.isfinite(got).all(axis=0)
    if target is PAN_AT_180 or target.crs == "EPSG:3413":
        inside = lat < 89.9  # a row of pixels ends at the pole, and none lies beyond
        assert valid[inside].all()
    assert valid.any()
    np.testing.assert_allclose(got[1][valid], lat[valid], atol=0.05)
    np.testing.assert_allclose(got[0][valid], (np.cos(np.radians(lon)) * 100)[valid], atol=0.5)


def places(geobox):
    """Centres of columns and of rows."""
    height, width = geobox.shape
    a, _, c, _, e, f = tuple(geobox.affine)[:6]
    return c + a * (np.arange(width) + 0.5), f + e * (np.arange(height) + 0.5)


def to_degrees(geobox, x, y):
    return pyproj.Transformer.from_crs(str(geobox.crs), "EPSG:4326", always_xy=True).transform(x, y)
