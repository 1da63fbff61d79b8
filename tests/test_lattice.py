"""The lattice covers every pixel, owns every window once, and agrees with itself across chunks."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rsmtl.errors import PlanError
from rsmtl.lattice import Axis, Lattice, Span, check_divisible


@st.composite
def axes(draw: st.DrawFn) -> Axis:
    window = draw(st.integers(1, 24))
    return Axis(
        length=draw(st.integers(1, 120)),
        window=window,
        overlap=draw(st.integers(0, window // 2)),
        strides_per_chunk=draw(st.integers(1, 5)),
    )


@given(axes())
def test_windows_cover_the_axis_and_none_is_superfluous(axis: Axis) -> None:
    covered = np.zeros(axis.length, dtype=int)
    for index in range(axis.n_windows):
        covered[axis.window_span(index).slice] += 1
    assert covered.min() >= 1
    assert covered.max() <= 2
    assert axis.n_windows == 1 or axis.window_span(axis.n_windows - 2).stop < axis.length


@given(axes())
def test_each_window_belongs_to_one_chunk(axis: Axis) -> None:
    owned = [window for chunk in range(axis.n_chunks) for window in axis.windows_of(chunk)]
    assert owned == list(range(axis.n_windows))


@given(axes())
def test_a_chunks_windows_touch_its_region_and_nothing_else(axis: Axis) -> None:
    for chunk in range(axis.n_chunks):
        windows = axis.windows_of(chunk)
        if windows:
            assert axis.window_span(windows[0]).start == axis.region(chunk).start
            assert min(axis.window_span(windows[-1]).stop, axis.length) == axis.region(chunk).stop


@given(axes())
def test_zones_partition_the_region_and_meet_the_next_chunk(axis: Axis) -> None:
    for chunk in range(axis.n_chunks):
        zones = axis.zones(chunk)
        assert sum(span.size for span in zones.values()) == axis.region(chunk).size
        if chunk + 1 < axis.n_chunks:
            assert zones.get("after") == axis.zones(chunk + 1).get("before")
        else:
            assert "after" not in zones


@given(axes())
def test_the_core_is_touched_by_no_other_chunk(axis: Axis) -> None:
    touched = [Counter[int]() for _ in range(axis.n_chunks)]
    for chunk in range(axis.n_chunks):
        for window in axis.windows_of(chunk):
            touched[chunk].update(range(*axis.window_span(window).slice.indices(axis.length)))
    for chunk in range(axis.n_chunks):
        core = axis.zones(chunk).get("core", Span(0, 0))
        for other in set(range(axis.n_chunks)) - {chunk}:
            assert not touched[other].keys() & set(range(core.start, core.stop))


@given(axes(), axes())
def test_sources_are_exactly_the_chunks_that_touch_an_area(y: Axis, x: Axis) -> None:
    lattice = Lattice(y.length, x.length, y.window, y.overlap, y.strides_per_chunk)
    assume(lattice.n_windows <= 60)
    for chunk in lattice.chunks():
        for area, spans in lattice.own_areas(chunk).items():
            sources = dict(lattice.sources(chunk, area))
            touching = {c for c in lattice.chunks() if any(_meets(w, spans) for w in lattice.windows_of(c))}
            assert touching == set(sources)
            assert all(lattice.areas(c)[a] == spans for c, a in sources.items())
        assert all(chunk in lattice.awaited_by(source) for source in lattice.waits_for(chunk))


def _meets(window, spans) -> bool:
    return all(
        a.start < b.stop and b.start < a.stop for a, b in zip((window.y, window.x), spans, strict=True)
    )


@pytest.mark.parametrize(
    ("length", "n_windows"), [(1, 1), (31, 1), (96, 1), (97, 2), (160, 2), (161, 3), (611, 10), (733, 11)]
)
def test_number_of_windows_for_window_96_overlap_32(length: int, n_windows: int) -> None:
    assert Axis(length, 96, 32, 1).n_windows == n_windows


def test_spans_scale_to_other_grids() -> None:
    assert Span(8, 14).scaled(Fraction(4)) == Span(32, 56)
    assert Span(8, 13).scaled(Fraction(1, 4)) == Span(2, 4)


def test_an_overlap_of_more_than_half_a_window_is_refused() -> None:
    with pytest.raises(PlanError, match=r"at most half the window \(48 px .* got 49 px"):
        Lattice(100, 100, window=96, overlap=49)


def test_a_window_that_is_not_divisible_is_refused_with_the_nearest_that_are() -> None:
    with pytest.raises(
        PlanError, match=r"multiple of 32 px \(the model halves it five times\), got 500 px: use 480 or 512"
    ):
        check_divisible("window", 500, 32, "the model halves it five times")
