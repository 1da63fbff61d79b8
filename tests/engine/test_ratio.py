"""How large a pixel is in another grid's, whatever their CRSs."""

import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from rsmtl.engine.ratio import pixel_ratio

UTM = GeoBox((400, 400), Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000), "EPSG:32632")
DEGREES = GeoBox((60, 60), Affine(2.55e-5, 0, 8.9999, 0, -1.8e-5, 45.1539), "EPSG:4326")
"""Pixels of about 2 m, around the same place."""


def test_in_one_crs_it_is_exact() -> None:
    coarse = GeoBox((100, 100), Affine(2, 0, 500_000, 0, -2, 5_000_000), "EPSG:32632")
    assert pixel_ratio(coarse, UTM) == 4
    assert pixel_ratio(UTM, coarse) == 0.25


def test_across_crs_pixels_are_measured_in_one_of_them() -> None:
    assert pixel_ratio(DEGREES, UTM) == pytest.approx(4, rel=0.01)
    assert pixel_ratio(UTM, DEGREES) == pytest.approx(0.25, rel=0.01)


def test_a_coarse_grid_may_reach_where_the_other_crs_does_not() -> None:
    world = GeoBox((1800, 3600), Affine(0.1, 0, -180, 0, -0.1, 90), "EPSG:4326")
    expected = (0.1 / 2.55e-5 * 0.1 / 1.8e-5) ** 0.5 * 4
    assert pixel_ratio(world, UTM) == pytest.approx(expected, rel=0.01)
