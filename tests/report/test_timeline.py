"""Bars add up to the time that was spent, and there are never more than the page can hold."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsmtl.report.timeline import LEVELS, N_COLUMNS, N_WORKERS, Timeline, timeline
from rsmtl.store.ledger import Span

RECTANGLE = re.compile(r"M(\d+) (\d+)h(\d+)v(\d+)h-(\d+)z")


MILLISECONDS = st.integers(0, 30_000).map(lambda n: n / 1000)


def area(drawn: Timeline, stage: str) -> float:
    """Seconds that the bars of a stage stand for."""
    cells = sum(int(w) * int(h) for _, _, w, h, _ in RECTANGLE.findall(drawn.bars.get(stage, "")))
    return cells / (N_COLUMNS * LEVELS) * drawn.seconds


def test_one_job_is_drawn_stage_after_stage() -> None:
    drawn = timeline([Span("host:1", 100.0, {"read": 1.0, "model": 2.0, "finish": 1.0})])
    assert drawn is not None
    assert drawn.seconds == 4
    assert drawn.busy == 1
    quarter = N_COLUMNS // 4
    assert drawn.bars == {
        "read": f"M0 0h{quarter}v{LEVELS}h-{quarter}z",
        "model": f"M{quarter} 0h{2 * quarter}v{LEVELS}h-{2 * quarter}z",
        "finish": f"M{3 * quarter} 0h{quarter}v{LEVELS}h-{quarter}z",
    }
    assert [tick.text for tick in drawn.ticks] == ["0", "1 s", "2 s", "3 s", "4 s"]


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.floats(0, 1000), MILLISECONDS, MILLISECONDS),
        min_size=1,
        max_size=60,
    )
)
def test_bars_stand_within_their_rows_and_the_drawing(
    jobs: list[tuple[str, float, float, float]],
) -> None:
    drawn = timeline([Span(worker, at, {"read": read, "model": model}) for worker, at, read, model in jobs])
    if drawn is None:
        assert all(read + model == 0 for _, _, read, model in jobs)
        return
    for path in drawn.bars.values():
        assert RECTANGLE.sub("", path) == ""
        for x, y, width, height, back in (map(int, found) for found in RECTANGLE.findall(path)):
            assert width == back
            assert x + width <= N_COLUMNS
            assert y % (LEVELS + 4) + height <= LEVELS


def test_many_short_jobs_keep_their_share() -> None:
    jobs = [Span("host:1", float(k), {"read": 0.25, "model": 0.5}) for k in range(20_000)]
    drawn = timeline(jobs)
    assert drawn is not None
    assert area(drawn, "read") == pytest.approx(5_000, rel=0.05)
    assert area(drawn, "model") == pytest.approx(10_000, rel=0.05)
    assert drawn.busy == pytest.approx(0.75, rel=0.01)
    assert drawn.ticks[1].text == "1 h"


def test_thousands_of_workers_make_a_bounded_drawing() -> None:
    rng = np.random.default_rng(0)
    jobs = [
        Span(f"host:{k % 1000}", float(rng.uniform(0, 1e4)), {"read": 3.0, "model": 10.0, "odd": 1.0})
        for k in range(50_000)
    ]
    drawn = timeline(jobs)
    assert drawn is not None
    assert (len(drawn.workers), drawn.n_workers) == (N_WORKERS, 1000)
    assert sum(map(len, drawn.bars.values())) < 1_500_000
    assert "odd" in drawn.bars


def test_nothing_done_is_no_timeline() -> None:
    assert timeline([]) is None
    assert timeline([Span("host:1", 5.0, {})]) is None
