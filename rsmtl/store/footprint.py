"""Where on Earth a grid lies, as GeoJSON wants it."""

from typing import Any

import antimeridian
import numpy as np
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from pyproj.exceptions import ProjError
from shapely import Polygon, box, orient_polygons, segmentize, transform
from shapely.geometry import mapping

_POINTS_AN_EDGE = 16
"""What is straight on a map is not so in degrees: the outline of a UTM zone's tile bends by hundreds of metres."""
_DECIMALS = 9
"""Of a degree: a tenth of a millimetre."""


def footprint(grid: GeoBox) -> tuple[dict[str, Any] | None, list[float] | None]:
    """Return a grid's outline as a GeoJSON geometry, and its bounding box, in longitude and latitude.

    An outline across the antimeridian is cut there in two, and one around a pole reaches down to it. A box across
    the antimeridian has its west greater than its east. Both are None if the grid has no CRS, does not lie on the
    Earth, or reaches beyond what its projection can show.
    """
    outline = None if grid.crs is None else _in_degrees(grid)
    if outline is None:
        return None, None
    west, south, east, north = outline.bounds
    assert grid.crs is not None
    if grid.crs.geographic and east - west >= 360:
        fixed = box(-180, south, 180, north)
    else:
        try:  # the order of the points tells which side is inside, and so which pole: it must be kept
            fixed = antimeridian.fix_polygon(outline, fix_winding=False)
        except ValueError:  # bent beyond repair by its projection
            return None, None
    fixed = transform(fixed, lambda degrees: np.round(degrees, _DECIMALS))
    return mapping(fixed), [round(edge, _DECIMALS) for edge in antimeridian.bbox(fixed)]


def _in_degrees(grid: GeoBox) -> Polygon | None:
    outline = orient_polygons(grid.extent.geom)
    dense = segmentize(outline, outline.length / (4 * _POINTS_AN_EDGE)).exterior.coords
    try:
        to_degrees = Transformer.from_crs(str(grid.crs), "EPSG:4326", always_xy=True)
        degrees = np.round(np.column_stack(to_degrees.transform(*np.array(dense).T)), _DECIMALS)
    except ProjError:
        return None
    return Polygon(degrees) if np.isfinite(degrees).all() else None
