"""Where an item lies on Earth, against a box of longitudes and latitudes, also across the antimeridian."""

from collections.abc import Iterator, Sequence
from math import isfinite
from typing import Any

import antimeridian
import shapely
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from rsmtl.scene.search import Box


def touches(bbox: Any, geometry: Any, wanted: Box) -> bool:
    """Whether an item's outline, or its bounding box if it has no outline, has a point in common with a box.

    Both come from anybody's catalogue: what is no box, or no geometry, counts as if it were not there.
    """
    box, outline = _box(bbox), _outline(geometry)
    if box and not any(_meet(one, other) for one in cut(wanted) for other in cut(box)):
        return False
    if outline is None:
        return box is not None
    if box and box[0] > box[2]:
        outline = _cut_outline(outline)
    return any(shapely.box(*part).intersects(outline) for part in _shifted(wanted))


def cut(box: Box) -> Iterator[Box]:
    """Yield the parts of a box that lie between -180 and 180 degrees: two of one that crosses the antimeridian."""
    west, south, east, north = box
    if west > east:
        east += 360
    for turn in (0, -360, 360):
        one, other = max(west + turn, -180), min(east + turn, 180)
        if one < other or (one == other and west == east):
            yield one, south, other, north


def _box(found: Any) -> Box | None:
    """Read a bounding box, which may have heights."""
    if not isinstance(found, Sequence) or len(found) not in (4, 6):
        return None
    if not all(isinstance(edge, int | float) and isfinite(edge) for edge in found):
        return None
    half = len(found) // 2
    return found[0], found[1], found[half], found[half + 1]


def _outline(found: Any) -> BaseGeometry | None:
    try:
        outline = shape(found)
        return None if outline.is_empty or not all(map(isfinite, outline.bounds)) else outline
    except Exception:  # shapely trips over what is no GeoJSON in many ways
        return None


def _meet(one: Box, other: Box) -> bool:
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]


def _cut_outline(outline: BaseGeometry) -> BaseGeometry:
    """Return an outline that crosses the antimeridian in two parts, if its points jump from one side to the other."""
    west, _, east, _ = outline.bounds
    if outline.geom_type != "Polygon" or east - west <= 180:
        return outline
    try:
        return antimeridian.fix_polygon(outline)
    except ValueError:
        return outline


def _shifted(box: Box) -> Iterator[Box]:
    """Yield a box's parts, and once more to both sides: outlines may go on past 180 degrees instead of being cut."""
    for west, south, east, north in cut(box):
        yield from ((west + turn, south, east + turn, north) for turn in (0, -360, 360))
