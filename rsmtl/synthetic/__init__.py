"""Procedural landscapes with known truth: for tests, benchmarks, training and the demo."""

from rsmtl.synthetic.catalogue import write_catalogue
from rsmtl.synthetic.landscape import Landscape, Rendered
from rsmtl.synthetic.materials import CLASS_NODATA, CLASSES

__all__ = ["CLASSES", "CLASS_NODATA", "Landscape", "Rendered", "write_catalogue"]
