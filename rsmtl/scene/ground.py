"""The size of a grid's pixels on the ground."""

from math import isfinite, sqrt

from odc.geo.geobox import GeoBox
from pyproj import Transformer
from pyproj.exceptions import ProjError


def ground_gsd_m(geobox: GeoBox) -> float | None:
    """Return the edge in metres of a square as large as the pixel in a grid's middle; None where that is not known.

    It is measured on the ellipsoid of the grid's CRS, whatever that is: a degree of longitude is 111 km at the equator
    and 56 km at 60° N, and there a pixel of Web Mercator is half as large as its coordinates say.
    """
    if geobox.crs is None:
        return None
    crs = geobox.crs.proj
    geodetic, geod = crs.geodetic_crs, crs.get_geod()
    if geodetic is None or geod is None:
        return None
    y, x = (size // 2 for size in geobox.shape)
    xs, ys = zip(*(geobox.affine @ corner for corner in ((x, y), (x + 1, y), (x, y + 1))), strict=True)
    try:
        to_degrees = Transformer.from_crs(crs, geodetic, always_xy=True)
        lon, lat = to_degrees.transform(xs, ys)
        _, _, (width, height) = geod.inv(lon[:1] * 2, lat[:1] * 2, lon[1:], lat[1:])
    except ProjError:
        return None
    found = sqrt(width * height)
    return found if isfinite(found) and found > 0 else None
