"""Numbers as people read them."""

from rsmtl.units import duration, pixels, px_rate, size

__all__ = ["duration", "pixels", "px_rate", "size"]
