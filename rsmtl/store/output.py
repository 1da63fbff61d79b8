"""What a product holds: one `Output` for each array that is stored."""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from rsmtl.models.spec import ClassSpec


@dataclass(frozen=True)
class Output:
    """One stored array `(band, y, x)` of a head, on its own grid."""

    name: str
    """`segmentation`, `segmentation_confidence`, `segmentation_probabilities`, `hrms`, …"""
    head: str
    bands: tuple[str, ...]
    dtype: str
    nodata: float | None
    """Stored value of pixels that are not valid; None where every pixel must be valid, or `mask` says which are."""
    scale: Fraction
    """Pixels per reference pixel along one axis."""
    classes: tuple[ClassSpec, ...] = ()
    """For class maps: what the stored numbers mean."""
    band_scale: tuple[float, ...] = (1.0,)
    """`physical = stored × band_scale + band_offset`; one number for all bands, or one per band."""
    band_offset: tuple[float, ...] = (0.0,)
    unit: str = ""
    """Of the physical values; empty if there is none, or it is that of the input that the head is like."""
    like: str = ""
    """The input whose values these are."""
    description: str = ""
    mask: str = ""
    """The output that says which pixels are valid, where any stored value may be one; empty if `nodata` says it."""
    mask_of: str = ""
    """Of a mask: the output whose valid pixels it says."""

    def size(self, length: int) -> int:
        """Pixels of this output along an axis of `length` reference pixels."""
        return ceil(length * self.scale)
