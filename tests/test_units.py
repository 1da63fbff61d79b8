"""Numbers as people read them."""

import pytest

from rsmtl import units


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (units.size(0), "0 B"),
        (units.size(3 * 2**30), "3.00 GiB"),
        (units.pixels(60_000), "60,000 px"),
        (units.pixels(10_980**2), "120.6 Mpx"),
        (units.px_rate(3e6, 2.0), "1.50 Mpx/s"),
        (units.px_rate(0, 2.0), "– Mpx/s"),
        (units.duration(0.84), "0.8 s"),
        (units.duration(59.96), "1 min 00 s"),
        (units.duration(125), "2 min 05 s"),
        (units.duration(3 * 3600 + 12 * 60), "3 h 12 min"),
    ],
)
def test_units(shown: str, expected: str) -> None:
    assert shown == expected
