"""How many pixels of one grid a pixel of another covers, whatever their CRSs."""

from math import sqrt

from odc.geo.geobox import GeoBox

from rsmtl.errors import SceneError
from rsmtl.scene.grid import crs_name


def pixel_ratio(coarse: GeoBox, fine: GeoBox) -> float:
    """Return how many pixels of `fine` make one of `coarse`, along one axis; 4 for MS and PAN of a 4:1 pair.

    Where CRSs differ it is taken at the middle of `fine`.

    Raises
    ------
    SceneError
        If that place is nowhere in the CRS of `coarse`.
    """
    pixel = abs(fine.resolution.x * fine.resolution.y)
    if coarse.crs is not None and coarse.crs != fine.crs:
        y, x = (size // 2 for size in fine.shape)
        pixel = fine[y : y + 1, x : x + 1].extent.to_crs(coarse.crs).area
    if not 0 < pixel < float("inf"):
        raise SceneError(
            f"a pixel in {crs_name(fine)} has no size in {crs_name(coarse)}: give inputs in one coordinate reference "
            "system"
        )
    return sqrt(abs(coarse.resolution.x * coarse.resolution.y) / pixel)
