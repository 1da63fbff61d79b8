"""Every metric adds up over any cut of a scene, and knows what does not count."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rsmtl.metrics import Confusion, Ergas, Metric, Part, Psnr, Q2n, QIndex, Sam, Scc, Ssim, measure, whole
from tests.metrics.images import made

METRICS: tuple[Metric, ...] = (
    Psnr(2047.0),
    Ergas(Fraction(1, 4)),
    Sam(),
    QIndex(),
    Q2n(),
    Ssim(2047.0),
    Scc(),
)


def cut(
    metric: Metric,
    reference: NDArray,
    estimate: NDArray,
    valid: NDArray[np.bool_],
    ys: list[int],
    xs: list[int],
) -> NDArray[np.float64]:
    """Sum a metric over the rectangles between the lines `ys` and `xs`, each with the context it asks for."""
    height, width = valid.shape
    total: NDArray[np.float64] = np.zeros(())
    for y0, y1 in zip([0, *ys], [*ys, height], strict=True):
        for x0, x1 in zip([0, *xs], [*xs, width], strict=True):
            rows = slice(y0, min(y1 + metric.context_px, height))
            cols = slice(x0, min(x1 + metric.context_px, width))
            part = Part(
                reference[:, rows, cols],
                estimate[:, rows, cols],
                valid[rows, cols],
                (slice(0, y1 - y0), slice(0, x1 - x0)),
                (y0, x0),
            )
            total = total + metric.sums(part)
    return total


@given(
    st.sampled_from(METRICS),
    st.lists(st.integers(1, 95), max_size=3, unique=True),
    st.lists(st.integers(1, 119), max_size=3, unique=True),
    st.booleans(),
)
def test_parts_add_up_to_the_scene(metric: Metric, ys: list[int], xs: list[int], holes: bool) -> None:
    reference, estimate = made()
    valid = np.ones(reference.shape[1:], bool)
    if holes:
        valid[5:9, 70:110] = valid[60, 3] = False
    expected = metric.sums(whole(reference, estimate, valid))
    found = cut(metric, reference, estimate, valid, sorted(ys), sorted(xs))
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    for name, value in metric.result(found).items():
        assert value == pytest.approx(metric.result(expected)[name], rel=1e-9)


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: type(m).__name__)
def test_the_same_image_has_the_best_value(metric: Metric) -> None:
    reference, _ = made()
    best = {"psnr_db": np.inf, "ergas": 0.0, "sam_deg": 0.0, "q": 1.0, "q2n": 1.0, "ssim": 1.0, "scc": 1.0}
    for name, value in measure(metric, reference, reference).items():
        assert value == pytest.approx(best[name], abs=1e-5)


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: type(m).__name__)
def test_what_is_not_valid_changes_nothing(metric: Metric) -> None:
    reference, estimate = made()
    valid = np.ones(reference.shape[1:], bool)
    valid[40:50, 20:33] = False
    expected = metric.sums(whole(reference, estimate, valid))
    wild = estimate.copy()
    wild[:, ~valid] = np.nan
    np.testing.assert_array_equal(metric.sums(whole(reference, wild, valid)), expected)


@pytest.mark.parametrize("metric", [*METRICS, Confusion(("a", "b"))], ids=lambda m: type(m).__name__)
def test_nothing_valid_is_nan_not_an_error(metric: Metric) -> None:
    nothing = np.zeros((1, 40, 40), np.uint8)
    result = measure(metric, nothing, nothing, np.zeros((40, 40), bool))
    key = "mean_iou" if "mean_iou" in result else next(iter(result))
    assert np.isnan(result[key])


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: type(m).__name__)
def test_a_scene_smaller_than_a_window_is_no_error(metric: Metric) -> None:
    reference, estimate = made(height=2, width=2)
    assert isinstance(measure(metric, reference, estimate), dict)


def test_arrays_of_two_shapes_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"reference \(1, 4, 4\) and estimate \(1, 4, 5\) must have one shape"
    ):
        measure(Sam(), np.zeros((1, 4, 4)), np.zeros((1, 4, 5)))
