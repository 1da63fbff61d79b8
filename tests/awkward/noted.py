"""The awkward table as it is printed at the end. Every run of pytest imports this: it must not take long."""

from collections import Counter
from collections.abc import Sequence

import pytest

TITLE = "the awkward table"
TOTALS = ("product", "sentence", "traceback", "hang", "half")
"""What a row can come to."""


def lines(reports: Sequence[pytest.TestReport]) -> list[str]:
    """Return the table of what the tests noted; nothing if none did."""
    called = [
        report for report in reports if report.when == "call"
    ]  # those of set-up and tear-down repeat them
    rows = sorted(value for report in called for key, value in report.user_properties if key == TITLE)
    if not rows:
        return []
    from rsmtl.cli.report import printable

    total = Counter(kind for _, kind, *_ in rows)
    shown = [f"{printable(name)} → {said or kind}" for name, kind, said, *_ in rows]
    slowest, largest = max(row[3] for row in rows), max(row[4] for row in rows)
    return [
        *shown,
        ", ".join(f"{kind} {total[kind]}" for kind in TOTALS)
        + f"; slowest {slowest:.1f} s, memory grew by {largest / 2**20:.0f} MiB at most",
    ]
