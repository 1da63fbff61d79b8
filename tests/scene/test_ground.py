"""A pixel's size on the ground, whatever the CRS."""

import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from rsmtl.scene.ground import ground_gsd_m


@pytest.mark.parametrize(
    ("crs", "affine", "gsd_m"),
    [
        ("EPSG:32631", Affine(10, 0, 5e5, 0, -10, 5e6), 10.0),
        ("EPSG:4326", Affine(1e-4, 0, 0, 0, -1e-4, 0.005), 11.1),  # at the equator
        ("EPSG:4326", Affine(2e-4, 0, 3, 0, -1e-4, 60), 11.15),  # a degree of longitude is half as long here
        (
            "EPSG:3857",
            Affine(10, 0, 0, 0, -10, 8399737),
            5.0,
        ),  # at 60° N this map is twice as large as the ground
        ("EPSG:2263", Affine(1, 0, 9e5, 0, -1, 2e5), 0.3048),  # in feet
        ("EPSG:32631", Affine(20, 0, 5e5, 0, -5, 5e6), 10.0),  # as large as a square of 10 m
        (None, Affine(1, 0, 0, 0, 1, 0), None),
        ("EPSG:4326", Affine(0.1, 0, 3, 0, -0.1, 1e6), None),  # nowhere
    ],
)
def test_the_size_of_a_pixel_on_the_ground(crs: str | None, affine: Affine, gsd_m: float | None) -> None:
    assert ground_gsd_m(GeoBox((100, 100), affine, crs)) == (gsd_m and pytest.approx(gsd_m, rel=4e-3))
