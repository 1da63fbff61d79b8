"""Colours that mean something can be told apart by everyone."""

import re
from importlib.resources import files

import numpy as np
import pytest

from rsmtl.datasets import dstl, dubai, kampala
from rsmtl.store.quicklook import EMPTY
from rsmtl.synthetic import CLASSES
from tests.color_vision import VISION, Color, ciede2000, least_difference

LEAST = 15.0
"""CIEDE2000; neighbours of 10 are still easily told apart side by side, not in a legend."""

NO_CLASS: Color = (EMPTY, EMPTY, EMPTY)


def shown(classes) -> list[Color]:
    """Classes and what is none."""
    return [*(one.color for one in classes), NO_CLASS]


def of_stages(dark: bool) -> list[Color]:
    """The timeline's colours in the report, and what is behind them."""
    style = files("rsmtl.report").joinpath("page.html").read_text().split(":root {")[1 + dark]
    names = ("read", "model", "blend", "finalise", "borders", "finish", "cog", "quicklook", "other", "track")
    found = [re.search(rf"--{name}: #(\w{{6}});", style)[1] for name in names]
    return [(int(one[:2], 16), int(one[2:4], 16), int(one[4:], 16)) for one in found]


PALETTES = {
    "landscape": shown(CLASSES),
    "dubai": shown(dubai.CLASSES),
    "kampala": shown(kampala.CLASSES),
    "dstl": shown(dstl.CLASSES),
    "timeline": of_stages(dark=False),
    "timeline, dark": of_stages(dark=True),
}


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("palette", PALETTES)
def test_all_colours_can_be_told_apart(palette: str, vision: str) -> None:
    difference, pair = least_difference(PALETTES[palette], vision)
    assert difference >= LEAST, f"{palette}: colours {pair} with {vision}"


@pytest.mark.parametrize(
    ("first", "second", "published"),
    [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((90.8027, -2.0831, 1.441), (91.1528, -1.6435, 0.0447), 1.4441),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((22.7233, 20.0904, -46.694), (23.0331, 14.973, -42.5619), 2.0373),
    ],
)
def test_differences_are_those_of_the_paper(first, second, published: float) -> None:
    assert ciede2000(np.array(first, float), np.array(second, float)) == pytest.approx(published, abs=1e-4)
