"""Who worked on what stage when: bars for the page, as many as fit it, however many jobs there were."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rsmtl.store.ledger import Span
from rsmtl.units import duration

STAGES = ("read", "model", "blend", "finalise", "borders", "finish")
"""In the order in which they are drawn; whatever else is measured comes after them."""

N_COLUMNS = 480
N_WORKERS = 40
"""Workers that are shown, the busiest; the page stays small on a cluster of thousands."""
LEVELS = 12
"""Heights of a bar: in a column that several jobs share, a stage is as high as its part of the time."""

_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
_N_TICKS = 6


@dataclass(frozen=True)
class Worker:
    """A row of the timeline."""

    name: str
    busy: float
    """Share of the time in which it worked."""


@dataclass(frozen=True)
class Tick:
    """A mark on the axis of time."""

    at: float
    """From 0, the beginning, to 1."""
    text: str


@dataclass(frozen=True)
class Timeline:
    """Bars in a drawing of `N_COLUMNS` by `LEVELS` for each worker."""

    workers: tuple[Worker, ...]
    n_workers: int
    """All of them, shown or not."""
    bars: Mapping[str, str]
    """SVG path by stage."""
    began: datetime
    seconds: float
    busy: float
    """Mean share of the time in which workers worked, of all of them."""
    ticks: tuple[Tick, ...]


def timeline(spans: Sequence[Span]) -> Timeline | None:
    """Return the bars of some jobs; None if there were none."""
    ends = [span.began_s + _length(span) for span in spans]
    began = min((span.began_s for span in spans), default=0.0)
    seconds = max(ends, default=0.0) - began
    if not spans or seconds <= 0:
        return None
    of: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        of[span.worker].append(span)
    busy = {name: sum(map(_length, own)) / seconds for name, own in of.items()}
    chosen = sorted(sorted(of, key=lambda name: -busy[name])[:N_WORKERS])
    stages = list(dict.fromkeys((*STAGES, *(stage for span in spans for stage in span.seconds))))
    paths: dict[str, list[str]] = {stage: [] for stage in stages}
    for row, name in enumerate(chosen):
        heights = _heights(of[name], stages, began, seconds)
        for stage, path in zip(stages, _rectangles(heights, row * (LEVELS + 4)), strict=True):
            paths[stage].append(path)
    return Timeline(
        workers=tuple(Worker(name, min(1.0, busy[name])) for name in chosen),
        n_workers=len(of),
        bars={stage: "".join(parts) for stage, parts in paths.items() if any(parts)},
        began=datetime.fromtimestamp(began, UTC),
        seconds=seconds,
        busy=min(1.0, sum(busy.values()) / len(busy)),
        ticks=tuple(_ticks(seconds)),
    )


def _length(span: Span) -> float:
    return sum(max(0.0, spent) for spent in span.seconds.values())


def _heights(spans: Iterable[Span], stages: list[str], began: float, seconds: float) -> NDArray[np.int64]:
    """Return how high each stage `(stage, column)` is, in levels."""
    share = np.zeros((len(stages), N_COLUMNS))
    for span in spans:
        at = (span.began_s - began) / seconds * N_COLUMNS
        for stage, spent in span.seconds.items():
            length = max(0.0, spent) / seconds * N_COLUMNS
            first, last = int(at), min(int(at + length), N_COLUMNS - 1)
            columns = np.arange(first, last + 1)
            share[stages.index(stage), first : last + 1] += np.clip(
                np.minimum(columns + 1, at + length) - np.maximum(columns, at), 0, 1
            )
            at += length
    share /= np.maximum(1.0, share.sum(axis=0))  # threads of one name, or clocks that were set
    tops = np.rint(np.cumsum(share, axis=0) * LEVELS).astype(np.int64)
    return np.diff(tops, axis=0, prepend=0)


def _rectangles(heights: NDArray[np.int64], top: int) -> list[str]:
    """Return an SVG path for each stage: rectangles that stand on one another, equal neighbours in one."""
    feet = np.cumsum(heights, axis=0) - heights
    paths = []
    for height, foot in zip(heights, feet, strict=True):
        changes = np.flatnonzero((np.diff(height) != 0) | (np.diff(foot) != 0)) + 1
        edges = [0, *changes.tolist(), N_COLUMNS]
        parts = []
        for start, stop in pairwise(edges):
            if high := int(height[start]):
                y, width = top + LEVELS - int(foot[start]) - high, stop - start
                parts.append(f"M{start} {y}h{width}v{high}h-{width}z")
        paths.append("".join(parts))
    return paths


def _ticks(seconds: float) -> Iterable[Tick]:
    step = next((step for step in _STEPS_S if seconds / step <= _N_TICKS), seconds / _N_TICKS)
    for k in range(int(seconds / step) + 1):
        yield Tick(k * step / seconds, "0" if k == 0 else _tick_text(k * step))


def _tick_text(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < 60 else duration(seconds).replace(" 00 s", "").replace(" 00 min", "")
