"""Which pixels of a grid lie under another one, also where longitudes begin anew and at poles."""

from collections.abc import Iterator
from math import ceil, floor
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from odc.geo.overlap import ReprojectInfo, compute_reproject_roi

_SAMPLES = 33
"""Places along an edge of the target whose places in the source are computed."""

_CYLINDRICAL = ("mercator", "equidistant cylindrical", "cylindrical equal area", "plate carr")
"""Beginnings, or parts, of the names of projections that repeat themselves from west to east; in lower case."""

Region = tuple[slice, slice]


def turned(source: GeoBox) -> Iterator[GeoBox]:
    """Yield a grid as it is, and once around the Earth to both sides if its CRS repeats itself there.

    Longitudes are computed from −180 to 180 degrees; grids may go on past these, or run from 0 to 360.
    """
    yield source
    around = _around(source.crs)
    for turn in (-around, around) if around else ():
        yield GeoBox(source.shape, Affine.translation(turn, 0) * source.affine, source.crs)


def region_under(source: GeoBox, target: GeoBox, reach: int) -> Region | None:
    """Return rows and columns of a source that lie under a target, and `reach` pixels around them; None if none do.

    What odc-geo finds is taken if it holds all places that are computed here: it maps a target's outline alone, which
    says nothing of what lies within where longitudes jump.
    """
    by_outline = _by_outline(source, target, reach)
    found: Region | None = None
    if by_outline is not None and _is_some(by_outline.roi_src):
        found = _plain(by_outline.roi_src[0]), _plain(by_outline.roi_src[1])
    if source.crs == target.crs and not _around(source.crs):  # one affine map, with nothing to jump
        return found
    rows, cols = _places(source, target)
    height, width = source.shape
    inside = (rows >= -reach) & (rows <= height + reach) & (cols >= -reach) & (cols <= width + reach)
    if not inside.any():
        return found
    own = tuple(
        slice(
            max(0, floor(places[inside].min() - _spacing(places, size)) - reach),
            min(size, ceil(places[inside].max() + _spacing(places, size)) + reach),
        )
        for places, size in ((rows, height), (cols, width))
    )
    if own[0].start >= own[0].stop or own[1].start >= own[1].stop:
        return found
    if found is None:
        return own[0], own[1]
    held = all(
        span.start <= max(0.0, places[inside].min()) and min(size, places[inside].max()) <= span.stop
        for span, places, size in zip(found, (rows, cols), (height, width), strict=True)
    )
    return found if held else (_union(found[0], own[0]), _union(found[1], own[1]))


def shrink(source: GeoBox, target: GeoBox) -> tuple[float, float]:
    """Return source pixels per target pixel along y and x, where the two overlap."""
    for one in turned(source):
        found = _by_outline(one, target, 1)
        if found is not None and _is_some(found.roi_dst):
            return found.scale2.y, found.scale2.x
    rows, cols = _places(source, target)
    height, width = (size / (_SAMPLES - 1) for size in target.shape)
    steps = [np.hypot(np.diff(rows, axis=axis), np.diff(cols, axis=axis)) for axis in (0, 1)]
    y, x = (float(np.nanmedian(one)) / size for one, size in zip(steps, (height, width), strict=True))
    return y or 1.0, x or 1.0


def overlaps(source: GeoBox, target: GeoBox) -> bool:
    """Return whether a source covers any of a target."""
    for one in turned(source):
        found = _by_outline(one, target, 1)
        if (found is not None and _is_some(found.roi_dst)) or region_under(one, target, 0) is not None:
            return True
    return False


def _by_outline(source: GeoBox, target: GeoBox, reach: int) -> ReprojectInfo | None:
    """Return what odc-geo finds; None where it stumbles, as it does at a pole."""
    try:
        return compute_reproject_roi(source, target, padding=reach)
    except (ValueError, np.linalg.LinAlgError):
        return None


def _is_some(region: tuple[Any, Any]) -> bool:
    return all(span.stop > span.start for span in region)


def _plain(span: Any) -> slice:
    return slice(int(span.start), int(span.stop))


def _around(crs: CRS | None) -> float:
    """Return how far it is around the Earth in the unit of a CRS; 0 if it does not repeat itself."""
    if crs is None:
        return 0.0
    if crs.geographic:
        return 360.0
    operation = crs.proj.coordinate_operation
    if operation is None:
        return 0.0
    name = operation.method_name.lower()
    if "transverse" in name or "oblique" in name or not any(one in name for one in _CYLINDRICAL):
        return 0.0
    named = (float(p.value) for p in operation.params if "longitude of" in p.name.lower())
    middle = next(named, 0.0)
    edges = CRS("EPSG:4326").transformer_to_crs(crs)(np.array([middle, middle + 90.0]), np.zeros(2))[0]
    return float(4 * (edges[1] - edges[0]))


def _places(source: GeoBox, target: GeoBox) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return rows and columns in the source of a mesh over the target, NaN where it has none."""
    height, width = target.shape
    cols, rows = np.meshgrid(np.linspace(0, width, _SAMPLES), np.linspace(0, height, _SAMPLES))
    x, y = _mapped(target.affine, cols, rows)
    assert target.crs is not None
    assert source.crs is not None
    if source.crs != target.crs:
        x, y = target.crs.transformer_to_crs(source.crs)(x.ravel(), y.ravel())
        x, y = (np.where(np.isfinite(one), one, np.nan).reshape(cols.shape) for one in (x, y))
    cols, rows = _mapped(~source.affine, x, y)
    return rows, cols


def _mapped(
    affine: Affine, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return affine.a * x + affine.b * y + affine.c, affine.d * x + affine.e * y + affine.f


def _spacing(places: NDArray[np.float64], size: int) -> float:
    """Return the greatest distance of neighbouring places but for jumps: one between them may lie so far outside."""
    steps = np.abs(np.concatenate([np.diff(places, axis=axis).ravel() for axis in (0, 1)]))
    steps = steps[np.isfinite(steps) & (steps < max(size, 2) / 2)]
    return float(steps.max()) if steps.size else 0.0


def _union(one: slice, other: slice) -> slice:
    return slice(min(one.start, other.start), max(one.stop, other.stop))
