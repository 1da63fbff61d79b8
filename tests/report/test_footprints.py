"""Wherever scenes lie, they are in the picture, side by side as on the ground."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely import box
from shapely.geometry import MultiPolygon, mapping

from rsmtl.report.footprints import HEIGHT, WIDTH, Map, footprint_map


def points(drawn: Map, number: int) -> list[tuple[float, float]]:
    outline = next(one for one in drawn.outlines if one.number == number)
    if outline.dot:
        return [outline.dot]
    numbers = [float(n) for n in re.findall(r"-?[\d.]+(?:e-?\d+)?", outline.path)]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def square(west: float, south: float, size: float = 1.0) -> dict[str, Any]:
    return mapping(box(west, south, west + size, south + size))


@given(
    st.lists(
        st.tuples(st.floats(-180, 170), st.floats(-90, 80), st.floats(0.001, 10)), min_size=1, max_size=9
    )
)
def test_all_outlines_are_in_the_picture(squares: list[tuple[float, float, float]]) -> None:
    drawn = footprint_map([square(*one) for one in squares])
    assert drawn is not None
    assert [one.number for one in drawn.outlines] == list(range(len(squares)))
    for number in range(len(squares)):
        for x, y in points(drawn, number):
            assert -1 <= x <= WIDTH + 1
            assert -1 <= y <= HEIGHT + 1
    assert all(0 <= line.at <= 1 for line in (*drawn.meridians, *drawn.parallels))


def test_east_is_right_and_north_is_up() -> None:
    drawn = footprint_map([square(9, 48), square(11, 48), square(9, 50)])
    assert drawn is not None
    (west, *_), (east, *_), (north, *_) = (sorted(points(drawn, k)) for k in range(3))
    assert west[0] < east[0]
    assert north[1] < west[1]
    assert "10°E" in [line.text for line in drawn.meridians]
    assert "50°N" in [line.text for line in drawn.parallels]


def test_the_antimeridian_is_a_line_like_any_other() -> None:
    across = mapping(MultiPolygon([box(178, -20, 180, -18), box(-180, -20, -178, -18)]))
    drawn = footprint_map([across, square(176, -20), square(-177, -20)])
    assert drawn is not None
    left, middle, right = ([x for x, _ in points(drawn, k)] for k in (1, 0, 2))
    assert max(left) < min(middle) < max(middle) < min(right)
    assert max(middle) - min(middle) == pytest.approx(4 * (max(left) - min(left)), rel=0.02)
    assert {"178°E", "180°W", "178°W"} & {line.text.replace("180°", "180°W") for line in drawn.meridians}


def test_small_scenes_far_apart_are_dots() -> None:
    drawn = footprint_map([square(9, 48, 0.01), square(-120, 30, 0.01)])
    assert drawn is not None
    assert all(one.dot and not one.path for one in drawn.outlines)


@pytest.mark.parametrize(
    "geometry",
    [
        None,
        {},
        {"type": "Polygon"},
        {"type": "Polygon", "coordinates": []},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 0]]]},
        {"type": "Polygon", "coordinates": [[["a", "b"], [1, 0], [1, 1], ["a", "b"]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1e300, 0], [1, 1], [0, 0]]]},
        {"type": "Polygon", "coordinates": [[[float("nan"), 0], [1, 0], [1, 1], [0, 0]]]},
        {"type": "Point", "coordinates": [1, 2]},
        {"type": "<script>"},
        [1, 2],
    ],
)
def test_what_is_no_outline_is_left_out(geometry: Any) -> None:
    assert footprint_map([geometry]) is None
    drawn = footprint_map([geometry, square(0, 0)])
    assert drawn is not None
    assert [one.number for one in drawn.outlines] == [1]
