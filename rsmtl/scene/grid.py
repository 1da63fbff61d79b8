"""Which grids are taken: north up, or south up and turned; anything else is refused with the remedy."""

from math import isfinite
from typing import Any

import xarray as xr
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from rsmtl.errors import SceneError
from rsmtl.scene.limits import check_size
from rsmtl.scene.reason import reason

SHEAR_PX = 1e-3
"""Rotation that moves no corner of the scene by more than this is rounding noise."""

SAME_PX = 1e-6
"""Corners closer than this, in pixels, are the same place: rounding of decimal transforms, nothing more."""

GRID_TOLERANCE_PX = 0.01
"""How far the corners of labels, or of truth, may lie from those of what they are of."""

_FARTHEST = 1e15
"""Coordinates beyond this are no place, in whatever unit."""
_FINEST = 1e-12
"""Pixels smaller than this part of their coordinates cannot be told apart in double precision."""


PIXEL_GRID = Affine(1, 0, 0, 0, -1, 0)
"""Of an image that lies nowhere on the Earth: columns count to the right, rows downwards from 0."""


def checked_grid(
    what: str, crs: Any, affine: Affine, shape: tuple[int, int], allow_no_crs: bool = False
) -> GeoBox:
    """Return the grid of a raster, whose rows may run south to north.

    Parameters
    ----------
    what
        What the messages call it: a path or a URL, in quotes.
    crs
        Anything that odc-geo takes for a CRS; None and an empty CRS are refused unless `allow_no_crs`.
    shape
        `(H, W)`.
    allow_no_crs
        Give what has no CRS a grid without one: by its affine transform, or `PIXEL_GRID` if it has none either.

    Raises
    ------
    SceneError
        If there is no CRS or no affine transform, if the grid is rotated, sheared or mirrored, or if it claims a
        size or a place that no scene has.
    """
    check_size(what, shape)
    if not crs and not allow_no_crs:
        raise SceneError(
            f"{what} has no coordinate reference system: assign the right one, for example with "
            "`gdal_translate -a_srs EPSG:32631 -a_ullr ULX ULY LRX LRY IN OUT`, or take it as it is with "
            "`--allow-no-crs`"
        )
    if affine.is_identity:
        if not crs:
            return GeoBox(shape, PIXEL_GRID, None)
        raise SceneError(
            f"{what} has no affine transform from pixels to coordinates: assign one with `gdal_translate -a_ullr`"
        )
    if not _is_on_a_map(affine, shape):
        raise SceneError(
            f"{what} has an affine transform that puts its pixels on no map "
            f"({', '.join(f'{number:g}' for number in affine[:6])}): assign the right one with `gdal_translate -a_ullr`"
        )
    height, width = shape
    if abs(affine.b) * height > SHEAR_PX * abs(affine.a) or abs(affine.d) * width > SHEAR_PX * abs(affine.e):
        raise SceneError(
            f"{what} lies on a rotated or sheared grid: resample it north up, for example with "
            "`gdalwarp -dstalpha`, which keeps the corners around it from passing as valid"
        )
    if affine.a <= 0:
        raise SceneError(
            f"{what} has columns that run east to west: resample it north up, for example with "
            "`gdalwarp -dstalpha`, which keeps the corners around it from passing as valid"
        )
    north_up_or_down = Affine(affine.a, 0, affine.c, 0, affine.e, affine.f)
    if not crs:
        return GeoBox(shape, north_up_or_down, None)
    try:
        known = _short(CRS(crs))
    except Exception as error:  # odc-geo passes on whatever PROJ and pyproj raise
        raise SceneError(
            f"{what} has a coordinate reference system that PROJ does not understand ({reason(error)}): assign the "
            "right one with `gdal_translate -a_srs`"
        ) from error
    if not (known.projected or known.geographic):
        raise SceneError(
            f"{what} has a coordinate reference system that is no map of the Earth's surface ({known.proj.name}): "
            "assign the right one with `gdal_translate -a_srs`"
        )
    return GeoBox(shape, north_up_or_down, known)


def _is_on_a_map(affine: Affine, shape: tuple[int, int]) -> bool:
    """Whether every number is finite, pixels have a size, and are large enough to have places of their own."""
    if not all(map(isfinite, affine[:6])):
        return False
    height, width = shape
    edges = ((affine.c, affine.a, affine.b, width), (affine.f, affine.e, affine.d, height))
    for start, step, turned, n in edges:
        farthest = max(abs(start), abs(start + step * n), 1.0)
        if farthest > _FARTHEST or max(abs(step), abs(turned)) < _FINEST * farthest:
            return False
    return True


def north_up(data: xr.DataArray, geobox: GeoBox) -> tuple[xr.DataArray, GeoBox]:
    """Turn rows that run south to north, lazily; the pixels stay where they are on the ground."""
    affine = geobox.affine
    if affine.e < 0:
        return data, geobox
    height = geobox.shape[0]
    turned = Affine(affine.a, 0, affine.c, 0, -affine.e, affine.f + height * affine.e)
    return data.isel(y=slice(None, None, -1)), GeoBox(geobox.shape, turned, geobox.crs)


def same_grid(one: GeoBox, other: GeoBox) -> bool:
    """Return whether two grids are the same, up to a shift of any corner by 1e-6 pixels."""
    return one.shape == other.shape and one.crs == other.crs and shift_px(one, other) <= SAME_PX


def check_lies_on(what: str, its: GeoBox, whose: str, wanted: GeoBox) -> None:
    """Refuse what must lie on a grid and does not: labels, and whatever else is compared pixel by pixel.

    Raises
    ------
    SceneError
        If CRS, size, place or GSD differ.
    """
    same = wanted.crs == its.crs and wanted.shape == its.shape
    if not same or shift_px(its, wanted) > GRID_TOLERANCE_PX:
        raise SceneError(
            f"{what} must lie on {whose} ({_described(wanted)}), but lies on {_described(its)}: bring it there "
            "yourself, so that no label is interpolated"
        )


def _described(grid: GeoBox) -> str:
    a, _, c, _, e, f = tuple(grid.affine)[:6]
    return f"{crs_name(grid)}, {grid.shape.y}×{grid.shape.x} px of {a:.6g} by {e:.6g} from ({c:.6f}, {f:.6f})"


def shift_px(one: GeoBox, other: GeoBox) -> float:
    """Return how far the corners of two grids of one size and CRS lie apart, in pixels of the second; the largest."""
    height, width = other.shape
    to_other = ~other.affine @ one.affine
    corners = [(0, 0), (width, 0), (0, height), (width, height)]
    return max(
        abs(float(a - b)) for corner in corners for a, b in zip(to_other @ corner, corner, strict=True)
    )


def epsg_of(geobox: GeoBox) -> int | None:
    """Return the EPSG code of a grid's CRS; None if it has none, or none that is certain."""
    code = geobox.crs.proj.to_epsg(min_confidence=100) if geobox.crs is not None else None
    return None if code is None else int(code)


def crs_name(geobox: GeoBox) -> str:
    """Return `EPSG:32631`, or the name of a CRS that has no code."""
    code = epsg_of(geobox)
    return f"EPSG:{code}" if code else str(geobox.crs.proj.name if geobox.crs is not None else "no CRS")


def _short(crs: CRS) -> CRS:
    """Replace well-known text by the EPSG code it says; it travels with every job."""
    code = crs.proj.to_epsg(min_confidence=100)
    return crs if code is None else CRS(f"EPSG:{code}")
