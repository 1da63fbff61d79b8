"""The weights are a partition of unity, and the sums do not depend on their order."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rsmtl import blend
from rsmtl.lattice import Axis

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


@pytest.mark.parametrize("kind", ["classes", "continuous"])
def test_sums_do_not_depend_on_the_order(kind) -> None:
    generator = torch.Generator().manual_seed(0)
    values = [torch.rand((3, 50, 50), generator=generator) for _ in range(4)]
    rising = torch.from_numpy(blend.ramp(50, "linear"))
    columns = (rising, 1 - rising)
    weights = [a[:, None] * b for a in columns for b in columns]
    steps = [blend.in_steps(w.numpy(), kind) for w in weights]
    sums = []
    for order in ([0, 1, 2, 3], [3, 1, 0, 2], [2, 3, 1, 0]):
        canvas = blend.new_canvas(kind, (3, 50, 50), "cpu")
        for k in order:
            blend.add(canvas, values[k], steps[k], kind)
        sums.append(canvas)
    assert torch.equal(sums[0], sums[1])
    assert torch.equal(sums[0], sums[2])
    expected = sum(v.double() * w for v, w in zip(values, weights, strict=True))
    assert torch.allclose(sums[0].double() / blend.STEPS[kind], expected, atol=1e-6, rtol=0)


def test_wild_continuous_values_are_clipped_and_nan_stays_nan() -> None:
    canvas = blend.new_canvas("continuous", (1, 1, 3), "cpu")
    weights = blend.in_steps(np.ones((1, 3), dtype=np.float32), "continuous")
    blend.add(canvas, torch.tensor([[[torch.inf, -1e30, torch.nan]]]), weights, "continuous")
    assert (canvas[0, 0, :2] / blend.STEPS["continuous"]).tolist() == [blend.LIMIT, -blend.LIMIT]
    assert canvas[0, 0, 2].isnan()
