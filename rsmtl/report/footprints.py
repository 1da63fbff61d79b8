"""Where the scenes lie: outlines of products on a plain map, in whatever part of the world they are."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, cos, floor, isfinite, radians
from typing import Any

from shapely import Polygon, affinity, get_parts, simplify
from shapely.errors import ShapelyError
from shapely.geometry import shape

WIDTH, HEIGHT = 960, 400
"""Of the drawing."""
_DOT_PX = 5
"""What is smaller is drawn as a dot."""
_MARGIN = 0.15
_STEPS = (45, 30, 15, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 5e-4, 2e-4, 1e-4)
"""Degrees between the lines of a graticule."""
_LINES_PX = 110
"""Lines are at least so far apart."""


@dataclass(frozen=True)
class Outline:
    """A scene on the map."""

    number: int
    """Of the scene."""
    path: str
    """SVG path; empty for a dot."""
    dot: tuple[float, float] | None = None


@dataclass(frozen=True)
class Line:
    """A line of the graticule."""

    at: float
    """Across the drawing, from 0 to 1."""
    text: str


@dataclass(frozen=True)
class Map:
    """Outlines in a drawing of `WIDTH` by `HEIGHT`, and meridians and parallels."""

    outlines: tuple[Outline, ...]
    meridians: tuple[Line, ...]
    parallels: tuple[Line, ...]


@dataclass(frozen=True)
class _View:
    """Which part of the world is seen, in degrees; `west` is where it is cut open, so `x` may go past 180."""

    west: float
    north: float
    px_per_lon: float
    px_per_lat: float

    def path(self, part: Polygon) -> str:
        """Return the outline of a polygon in pixels, without what is too small to be seen."""
        matrix = (
            self.px_per_lon,
            0,
            0,
            -self.px_per_lat,
            -self.west * self.px_per_lon,
            self.north * self.px_per_lat,
        )
        drawn = simplify(affinity.affine_transform(part, matrix), 0.3)
        points = " ".join(f"{round(x, 1):g} {round(y, 1):g}" for x, y in drawn.exterior.coords[:-1])
        return f"M{points}z"

    def at(self, lon: float, lat: float) -> tuple[float, float]:
        """Return where a point is, in pixels."""
        return round((lon - self.west) * self.px_per_lon, 1), round((self.north - lat) * self.px_per_lat, 1)


def footprint_map(geometries: Sequence[Mapping[str, Any] | None]) -> Map | None:
    """Draw GeoJSON outlines, cut at the antimeridian as GeoJSON has them; None if none can be drawn."""
    found = {number: list(_parts(geometry)) for number, geometry in enumerate(geometries)}
    parts = [part for own in found.values() for part in own]
    if not parts:
        return None
    cut = _widest_gap([(part.bounds[0], part.bounds[2]) for part in parts])
    found = {number: [_shifted(part, cut) for part in own] for number, own in found.items()}
    view = _view([part.bounds for own in found.values() for part in own])
    outlines = tuple(_outline(number, own, view) for number, own in found.items() if own)
    return Map(outlines, tuple(_meridians(view)), tuple(_parallels(view)))


def _parts(geometry: Mapping[str, Any] | None) -> Iterator[Polygon]:
    """Yield the polygons of a geometry; nothing of one that is none, or reaches past the world."""
    try:
        parts = get_parts(shape(geometry)) if geometry else ()
    except (ShapelyError, ValueError, TypeError, AttributeError, KeyError, IndexError):
        return
    for part in parts:
        if isinstance(part, Polygon) and not part.is_empty and all(isfinite(edge) for edge in part.bounds):
            west, south, east, north = part.bounds
            if -180 <= west <= east <= 180 and -90 <= south <= north <= 90:
                yield part


def _widest_gap(ranges: Sequence[tuple[float, float]]) -> float:
    """Return the eastern end of the widest range of longitudes in which nothing lies: there the world is cut open."""
    ordered = sorted(ranges)
    widest, cut, reached = (
        ordered[0][0] + 360 - max(east for _, east in ordered),
        ordered[0][0],
        ordered[0][1],
    )
    for west, east in ordered:
        if west - reached > widest:
            widest, cut = west - reached, west
        reached = max(reached, east)
    return cut


def _shifted(part: Polygon, cut: float) -> Polygon:
    return affinity.translate(part, 360) if part.bounds[0] < cut else part


def _view(bounds: Iterable[tuple[float, float, float, float]]) -> _View:
    """Fit the drawing around what is to be seen, in one scale for both directions at its middle."""
    wests, souths, easts, norths = zip(*bounds, strict=True)
    west, east, south, north = min(wests), max(easts), min(souths), max(norths)
    lon, lat = (west + east) / 2, (south + north) / 2
    squeeze = max(0.2, cos(radians(lat)))
    room = 1 + 2 * _MARGIN
    px_per_lat = min(
        WIDTH / max((east - west) * squeeze * room, 1e-4), HEIGHT / max((north - south) * room, 1e-4)
    )
    px_per_lat = max(px_per_lat, HEIGHT / 180)
    px_per_lon = max(px_per_lat * squeeze, WIDTH / 360)
    top = min(90.0, max(lat + HEIGHT / 2 / px_per_lat, HEIGHT / px_per_lat - 90))
    return _View(lon - WIDTH / 2 / px_per_lon, top, px_per_lon, px_per_lat)


def _outline(number: int, parts: Sequence[Polygon], view: _View) -> Outline:
    wests, souths, easts, norths = zip(*(part.bounds for part in parts), strict=True)
    width = (max(easts) - min(wests)) * view.px_per_lon
    height = (max(norths) - min(souths)) * view.px_per_lat
    if max(width, height) < _DOT_PX:
        return Outline(number, "", view.at((max(easts) + min(wests)) / 2, (max(norths) + min(souths)) / 2))
    return Outline(number, "".join(view.path(part) for part in parts))


def _meridians(view: _View) -> Iterator[Line]:
    for lon in _multiples(view.west, view.west + WIDTH / view.px_per_lon, view.px_per_lon):
        turned = round((lon + 180) % 360 - 180, 6)
        side = "" if turned in (0, -180) else "E" if turned > 0 else "W"
        yield Line((lon - view.west) * view.px_per_lon / WIDTH, f"{abs(turned):g}°{side}")


def _parallels(view: _View) -> Iterator[Line]:
    for lat in _multiples(view.north - HEIGHT / view.px_per_lat, view.north, view.px_per_lat):
        side = "N" if lat > 0 else "S" if lat < 0 else ""
        yield Line((view.north - lat) * view.px_per_lat / HEIGHT, f"{abs(round(lat, 6)):g}°{side}")


def _multiples(low: float, high: float, px_per_degree: float) -> Iterator[float]:
    """Yield round numbers of degrees strictly between two, far enough apart."""
    step = min((step for step in _STEPS if step * px_per_degree >= _LINES_PX), default=_STEPS[0])
    yield from (k * step for k in range(floor(low / step) + 1, ceil(high / step)))
