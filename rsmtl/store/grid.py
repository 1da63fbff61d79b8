"""The grid of an output, exactly derived from the reference grid."""

from affine import Affine
from odc.geo.geobox import GeoBox

from rsmtl.store.output import Output


def output_geobox(reference: GeoBox, output: Output) -> GeoBox:
    """Return the grid of an output: same origin, pixels `1 / scale` the size, as many as cover the reference."""
    height, width = (output.size(length) for length in reference.shape)
    shrink = float(1 / output.scale)
    return GeoBox((height, width), reference.affine * Affine.scale(shrink, shrink), reference.crs)
