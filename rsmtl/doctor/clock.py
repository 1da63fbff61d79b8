"""Clocks: those of the cluster, and of the store, against ours."""

import time
from collections.abc import Iterable

from rsmtl.doctor.finding import Finding

APART_S = 1.0
_WHY = (
    "let NTP set the clocks: the log and `rsmtl report` mix the times of all machines, and object stores refuse "
    "requests that were signed minutes off"
)


def look_at_clock() -> float:
    """Return the time of the place."""
    return time.time()


def span(asked_s: float, came_s: float, first_s: float, last_s: float) -> tuple[float, float]:
    """Return how far another clock is ahead of ours, at least and at most.

    Parameters
    ----------
    asked_s, came_s
        When it was asked, and when the answer came, by ours.
    first_s, last_s
        Between which the other was when it was read; a store's tells whole seconds.
    """
    return first_s - came_s, last_s - asked_s


def bounds(told_s: float) -> tuple[float, float]:
    """Return between which times a store's clock was: some tell whole seconds, a kernel that of its last tick."""
    return (told_s, told_s + 1.0) if told_s == int(told_s) else (told_s - 0.02, told_s + 0.02)


def judge_clock(place: str, spans: Iterable[tuple[float, float]]) -> Finding:
    """Tell how far a clock is off for certain; of several readings each narrows it."""
    readings = list(spans)
    least, most = max(one for one, _ in readings), min(one for _, one in readings)
    apart_s = max(least, -most, 0.0)
    if apart_s <= APART_S:
        return Finding("clock", "agrees with the one here to a second", where=(place,))
    way = "ahead of" if least > 0 else "behind"
    return Finding("clock", f"{apart_s:,.1f} s or more {way} the one here", "mend", _WHY, where=(place,))
