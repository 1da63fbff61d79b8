"""What catalogues write otherwise than they mean, each quirk once."""

from collections.abc import Mapping
from typing import Any, Literal

from rsmtl.errors import SceneError

Offset = Literal["item", "none"] | float
"""What is added to scaled values: what the item (or the file) says, nothing, or a number."""

APPLIED = "earthsearch:boa_offset_applied"
"""Element 84's Earth Search: whether the offset that Sentinel-2 products have since baseline 04.00 is in the pixels
already. Its items give that offset of −0.1 in either case."""


def offset_of(what: str, properties: Mapping[str, Any], said: float | None) -> float | None:
    """Return the offset of a band as it is meant, from what its item says.

    Raises
    ------
    SceneError
        If the item contradicts itself.
    """
    applied = properties.get(APPLIED)
    if applied is None:
        return said
    if isinstance(applied, str) and applied.lower() in ("true", "false"):
        applied = applied.lower() == "true"
    if not isinstance(applied, bool):
        raise SceneError(
            f"{what} has {applied!r} for `{APPLIED}`, which is neither true nor false: {_REMEDY}"
        )
    if applied:
        return None if said is None else 0.0
    if not said and _baseline(properties) >= 4.0 and said is not None:
        raise SceneError(
            f"{what} says by `{APPLIED}` that the offset of its baseline is not in its pixels, and gives none: "
            f"{_REMEDY}"
        )
    return said


_REMEDY = "say what to add with `--offset` (`none`, or a number such as -0.1), or correct the item"


def number_of(offset: Offset) -> float | None:
    """Return the user's word on what is added to scaled values; None if that is left to item and file."""
    if offset == "item":
        return None
    return 0.0 if offset == "none" else float(offset)


def _baseline(properties: Mapping[str, Any]) -> float:
    try:
        return float(properties.get("s2:processing_baseline", 0))
    except (TypeError, ValueError):
        return 0.0
