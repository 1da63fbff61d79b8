"""The grid of an output, exactly derived from the reference grid."""

from affine import Affine
from odc.geo.geobox import GeoBox

from rsmtl.store.output import Output


def output_geobox(reference: GeoBox, output: Output) -> GeoBox:
    """Return the grid of an output: same origin, pixels `1 / scale` the size, as many as cover the reference.

    Below scale 1 the last row and column may reach past the reference grid's end, by less than a pixel.
    """
    height, width = (output.size(length) for length in reference.shape)
    up, down = output.scale.numerator, output.scale.denominator
    a, b, c, d, e, f = tuple(reference.affine)[:6]
    # Multiplied, then divided: one rounding at most, where a factor such as 1/3 would bring a second.
    affine = Affine(a * down / up, b * down / up, c, d * down / up, e * down / up, f)
    return GeoBox((height, width), affine, reference.crs)
