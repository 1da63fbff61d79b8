"""The images that a landscape is delivered as."""

from dataclasses import dataclass
from typing import Literal

from rsmtl.synthetic.materials import CLASS_NODATA
from rsmtl.synthetic.sensor import BANDS, RATIO

Product = Literal["hrms", "pan", "ms", "classes"]


@dataclass(frozen=True)
class ProductSpec:
    """What an image holds."""

    title: str
    bands: tuple[str, ...]
    dtype: str
    nodata: int
    ratio: int = 1
    """PAN pixels along the edge of one of its pixels."""


PRODUCTS: dict[Product, ProductSpec] = {
    "hrms": ProductSpec("Multispectral as it would be at the GSD of PAN", BANDS[:3], "uint16", nodata=0),
    "pan": ProductSpec("Panchromatic", ("pan",), "uint16", nodata=0),
    "ms": ProductSpec("Multispectral", BANDS, "uint16", nodata=0, ratio=RATIO),
    "classes": ProductSpec("Land cover, the truth", ("class",), "uint8", nodata=CLASS_NODATA),
}
