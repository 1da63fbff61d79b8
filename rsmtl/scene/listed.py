"""Names in a message: a file may have a thousand, and a name may be as long as a book."""

from collections.abc import Iterable
from itertools import islice
from typing import Any

MOST, LONGEST = 12, 240


def listed(names: Iterable[Any]) -> str:
    """Return names with commas between; of many the first, of long ones the beginning, and `none` of none."""
    first = [str(name) for name in islice(names, MOST + 1)]
    shown = [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in first]
    return ", ".join(shown if len(shown) <= MOST else [*shown[:MOST], "…"]) or "none"
