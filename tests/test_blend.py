"""The weights are a partition of unity, and the sums do not depend on their order."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rsmtl import blend
from rsmtl.lattice import Axis
from rsmtl.models.spec import VALUE_LIMIT

shapes = st.sampled_from(["linear", "cosine"])


@given(st.integers(2, 64), st.data(), shapes)
def test_the_weights_of_all_windows_sum_to_exactly_one(window: int, data: st.DataObject, shape) -> None:
    axis = Axis(data.draw(st.integers(1, 400)), window, data.draw(st.integers(0, window // 2)), 1)
    margin = data.draw(st.integers(0, axis.overlap // 2))
    total = np.zeros(axis.n_windows * axis.stride + axis.overlap, dtype=np.float32)
    for index in range(axis.n_windows):
        first, last = index == 0, index == axis.n_windows - 1
        total[axis.window_span(index).slice] += blend.axis_weights(
            window, axis.overlap, margin, first, last, shape
        )
    assert (total[: axis.length] == 1).all()


def test_a_margin_belongs_to_the_other_window_alone() -> None:
    assert blend.axis_weights(12, 6, 2, False, False, "linear").tolist() == [
        *(0, 0, 0.25, 0.75, 1, 1),
        *(1, 1, 0.75, 0.25, 0, 0),
    ]
    assert blend.axis_weights(8, 4, 2, False, True, "linear").tolist() == [0, 0, 1, 1, 1, 1, 1, 1]


@given(st.integers(1, 4096), shapes)
def test_ramps_are_positive_and_rise(overlap: int, shape) -> None:
    ramp = blend.ramp(overlap, shape)
    assert ramp.min() > 0
    assert ramp.max() < 1
    assert (np.diff(ramp) >= 0).all()


@pytest.mark.parametrize(
    ("kind", "exact", "greatest"),
    [
        ("classes", None, 1.0),
        ("continuous", blend.Exact(VALUE_LIMIT, strict=True), VALUE_LIMIT),
        ("continuous", blend.Exact(409_500.0, strict=True), 409_500.0),
        ("continuous", blend.Exact(2.0**40, strict=False), 2.0**40),
        ("continuous", blend.Exact(1e-9, strict=True), 1e-9),
    ],
)
def test_sums_do_not_depend_on_the_order(kind, exact, greatest) -> None:
    generator = torch.Generator().manual_seed(0)
    values = [torch.rand((3, 50, 50), generator=generator) * greatest for _ in range(4)]
    per_one = exact.steps if exact else blend.CLASS_STEPS
    rising = torch.from_numpy(blend.ramp(50, "linear"))
    columns = (rising, 1 - rising)
    weights = [a[:, None] * b for a in columns for b in columns]
    steps = [blend.in_steps(w.numpy(), per_one) for w in weights]
    sums = []
    for order in ([0, 1, 2, 3], [3, 1, 0, 2], [2, 3, 1, 0]):
        canvas = blend.new_canvas(kind, (3, 50, 50), "cpu")
        for k in order:
            blend.add(canvas, values[k], steps[k], exact)
        sums.append(canvas)
    assert torch.equal(sums[0], sums[1])
    assert torch.equal(sums[0], sums[2])
    expected = sum(v.double() * w for v, w in zip(values, weights, strict=True))
    step = 1e-6 if kind == "classes" else 2.0**-49
    assert torch.allclose(sums[0].double() / per_one, expected, atol=step * greatest, rtol=0)


def test_wild_continuous_values_are_clipped_and_nan_stays_nan() -> None:
    canvas, exact = blend.new_canvas("continuous", (1, 1, 3), "cpu"), blend.Exact(VALUE_LIMIT, strict=False)
    weights = blend.in_steps(np.ones((1, 3), dtype=np.float32), exact.steps)
    blend.add(canvas, torch.tensor([[[torch.inf, -1e30, torch.nan]]]), weights, exact)
    assert (canvas[0, 0, :2] / exact.steps).tolist() == [VALUE_LIMIT, -VALUE_LIMIT]
    assert canvas[0, 0, 2].isnan()


def test_where_a_value_is_outside_is_told_if_it_counts() -> None:
    canvas, exact = blend.new_canvas("continuous", (2, 1, 4), "cpu"), blend.Exact(10.0, strict=True)
    outside = torch.zeros((1, 4), dtype=torch.bool)
    weights = blend.in_steps(np.array([[1, 0, 1, 1]], dtype=np.float32), exact.steps)
    values = torch.tensor([[[10.0, 99.0, 1.0, torch.nan]], [[-10.0, torch.inf, -10.1, 0.0]]])
    blend.add(canvas, values, weights, exact, outside)
    assert outside.tolist() == [[False, False, True, False]]


def test_the_steps_of_values_of_16_bits_are_those_of_a_limit_of_17() -> None:
    assert blend.Exact(VALUE_LIMIT, strict=True).steps == 2.0**34
    assert blend.Exact(VALUE_LIMIT + 1, strict=True).steps == 2.0**33
