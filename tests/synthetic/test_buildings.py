import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsmtl.synthetic.buildings import Buildings, buildings
from rsmtl.synthetic.layout import layout
from rsmtl.synthetic.terrain import terrain

SEED, TOP, LEFT = 7, 200.0, -100.0  # a town
SIZE_M = 700.0


@pytest.fixture(scope="module")
def town() -> Buildings:
    return buildings(SEED, (TOP, TOP + SIZE_M), (LEFT, LEFT + SIZE_M))


def within(houses: Buildings, y: tuple[float, float], x: tuple[float, float]) -> list[tuple[float, ...]]:
    """Return all that is known of the houses whose middle lies in a box."""
    inside = (houses.y > y[0]) & (houses.y < y[1]) & (houses.x > x[0]) & (houses.x < x[1])
    kept = houses.take(inside)
    return list(zip(*(vars(kept)[name].tolist() for name in vars(kept)), strict=True))


@given(st.floats(0, SIZE_M - 1), st.floats(0, SIZE_M - 1), st.floats(0.5, 200), st.floats(0.5, 200))
def test_the_same_houses_stand_in_a_box_whatever_is_asked_around_it(town, down, right, height, width):
    y = (TOP + down, min(TOP + down + height, TOP + SIZE_M))
    x = (LEFT + right, min(LEFT + right + width, LEFT + SIZE_M))
    assert within(buildings(SEED, y, x), y, x) == within(town, y, x)


def test_a_town_has_houses_and_open_land_has_none(town):
    assert len(town.y) > 300
    assert len(buildings(1, (200.0, 400.0), (600.0, 800.0)).y) == 0


def test_houses_keep_off_roads_and_water(town):
    plan = layout(SEED, town.y, town.x, terrain(SEED, town.y, town.x))
    assert (plan.road_m > 1.5).all()
    assert (plan.terrain.river_m > 0).all()
    assert (plan.terrain.lake_m > 0).all()


def test_houses_stand_along_the_street(town):
    dwellings = town.take((town.half_width > 3.8) & (town.half_length > 4.9))
    along = dwellings.take(~dwellings.gable)
    step = 1.0
    here, there = (
        layout(SEED, y, x, terrain(SEED, y, x)).road_m
        for y, x in (
            (along.y, along.x),
            (along.y + step * along.sine, along.x + step * along.cosine),
        )
    )
    assert np.median(np.abs(there - here)) < 0.1


def test_houses_seldom_stand_in_each_other(town):
    houses = town.take(town.half_width > 3.8)
    apart = np.hypot(houses.y[:, None] - houses.y, houses.x[:, None] - houses.x)
    np.fill_diagonal(apart, np.inf)
    assert (apart.min(axis=1) < houses.half_width).mean() < 0.02
