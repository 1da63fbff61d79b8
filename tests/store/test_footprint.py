import math

import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from shapely.geometry import Point, shape

from rsmtl.store.footprint import footprint


def grid(crs: str, size: int, width: int, height: int, left: float, top: float) -> GeoBox:
    return GeoBox((height, width), Affine(size, 0, left, 0, -size, top), crs)


def test_a_tile_has_bent_edges() -> None:
    geometry, bbox = footprint(grid("EPSG:32629", 10, 10980, 10980, 199980, 2800020))
    assert geometry is not None
    assert geometry["type"] == "Polygon"
    outline = shape(geometry)
    assert outline.is_valid
    assert outline.exterior.is_ccw
    assert len(outline.exterior.coords) >= 4 * 16
    assert bbox == pytest.approx([-11.9792, 24.2963, -10.8746, 25.3046], abs=1e-3)
    corners = shape({"type": "Polygon", "coordinates": [[[-11.97923, 25.28662], [-10.88953, 25.30461],
                                                         [-10.87456, 24.31353], [-11.95565, 24.29633],
                                                         [-11.97923, 25.28662]]]})  # fmt: skip
    assert outline.symmetric_difference(corners).area < 0.003 * corners.area


def test_an_outline_across_the_antimeridian_is_cut_there() -> None:
    geometry, bbox = footprint(grid("EPSG:32660", 30, 7751, 7851, 570585, 5847615))
    assert geometry is not None
    assert geometry["type"] == "MultiPolygon"
    assert bbox == pytest.approx([177.9986, 50.5819, -178.5138, 52.7737], abs=1e-3)
    assert shape(geometry).area < 10
    assert shape(geometry).contains(Point(179.9, 51.5))
    assert shape(geometry).contains(Point(-179.9, 51.5))
    assert not shape(geometry).contains(Point(0, 51.5))


def test_degrees_beyond_180_are_cut_too() -> None:
    geometry, bbox = footprint(GeoBox((100, 200), Affine(0.01, 0, 179, 0, -0.01, 10), "EPSG:4326"))
    assert geometry is not None
    assert geometry["type"] == "MultiPolygon"
    assert bbox == pytest.approx([179, 9, -179, 10], abs=1e-2)


@pytest.mark.parametrize(("crs", "pole"), [("EPSG:3031", -90), ("EPSG:3413", 90), ("EPSG:3995", 90)])
def test_a_pole_inside_belongs_to_the_outline(crs: str, pole: int) -> None:
    geometry, bbox = footprint(grid(crs, 1000, 4000, 4000, -1_000_000, 2_000_000))
    assert geometry is not None
    outline = shape(geometry)
    assert outline.is_valid
    assert bbox is not None
    assert bbox[0::2] == [-180, 180]
    assert pole in bbox[1::2]
    assert outline.contains(Point(10, math.copysign(89.5, pole)))
    assert not outline.intersects(Point(10, 0))


def test_a_south_up_grid_has_the_outline_of_its_mirror() -> None:
    up = footprint(GeoBox((100, 200), Affine(10, 0, 399960, 0, 10, 3499000), "EPSG:32633"))
    down = footprint(GeoBox((100, 200), Affine(10, 0, 399960, 0, -10, 3500000), "EPSG:32633"))
    assert up[1] == pytest.approx(down[1])
    assert shape(up[0]).equals_exact(shape(down[0]).normalize(), 1e-6) or shape(up[0]).equals(shape(down[0]))


@pytest.mark.parametrize("left", [-180, 0])
def test_the_whole_world_is_the_whole_world(left: int) -> None:
    geometry, bbox = footprint(GeoBox((180, 360), Affine(1, 0, left, 0, -1, 90), "EPSG:4326"))
    assert bbox == [-180, -90, 180, 90]
    assert shape(geometry).area == pytest.approx(360 * 180)


@pytest.mark.parametrize(("crs", "left"), [("+proj=longlat +R=3396190 +no_defs", 10.0), ("EPSG:32633", 1e9)])
def test_what_is_not_on_the_earth_has_no_footprint(crs: str, left: float) -> None:
    found = footprint(GeoBox((10, 10), Affine(10, 0, left, 0, -10, 0), crs))
    assert found == (None, None)
