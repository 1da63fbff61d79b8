"""Q and Q2ⁿ: worked values, another way to compute them, and the conventions for flat windows."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from rsmtl.losses import universal_quality
from rsmtl.metrics import Q2n, QIndex, measure
from rsmtl.metrics.quality import conjugate_products, q2n_of_block
from tests.metrics.images import Pair, made, real

CHECKERBOARD = 0.2 + 0.4 * (np.indices((8, 8)).sum(axis=0) % 2)[None]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda x: x, 1.0),
        (lambda x: 0.5 * x, 0.64),
        (lambda x: x + 0.2, 0.9230769),
        (lambda x: 0.8 - x, -1.0),
    ],
)
def test_worked_values(change, expected: float) -> None:
    assert measure(QIndex(), CHECKERBOARD, change(CHECKERBOARD))["q"] == pytest.approx(expected, abs=1e-7)


@given(st.floats(0.01, 50.0), st.integers(0, 1000))
def test_a_gain_costs_the_same_on_any_texture(k: float, seed: int) -> None:
    texture = np.random.default_rng(seed).uniform(1, 2047, (2, 11, 13))
    expected = (2 * k / (1 + k * k)) ** 2
    assert measure(QIndex(), texture, k * texture)["q"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("x", "y", "expected"), [(0.0, 0.0, 1.0), (0.3, 0.3, 1.0), (0.1, 0.3, 0.6), (0.0, 0.3, 0.0)]
)
def test_flat_windows_are_compared_by_their_means(x: float, y: float, expected: float) -> None:
    flat = np.ones((1, 9, 9))
    assert measure(QIndex(), x * flat, y * flat)["q"] == pytest.approx(expected, abs=1e-9)


def directly(x: NDArray, y: NDArray) -> float:
    """Mean over all 8×8 windows of 4 cov x̄ ȳ / ((var + var)(x̄² + ȳ²)), with numpy's own moments of each window."""
    wx, wy = (sliding_window_view(a, (8, 8)).reshape(-1, 64) for a in (x, y))
    mx, my = wx.mean(1), wy.mean(1)
    covariance = ((wx - mx[:, None]) * (wy - my[:, None])).mean(1)
    return float((4 * covariance * mx * my / ((wx.var(1) + wy.var(1)) * (mx**2 + my**2))).mean())


def agree(pair: Pair) -> None:
    reference, estimate = pair
    ours = measure(QIndex(), reference, estimate)["q"]
    direct = np.mean([directly(x, y) for x, y in zip(reference, estimate, strict=True)])
    assert ours == pytest.approx(direct, rel=1e-9)
    loss = universal_quality(
        torch.from_numpy(estimate / 2047)[None], torch.from_numpy(reference / 2047)[None]
    )
    assert ours == pytest.approx(loss.item(), abs=2e-6)


def test_two_other_ways_agree_on_a_made_pair() -> None:
    agree(made())


@pytest.mark.real
def test_two_other_ways_agree_on_a_real_pair(real_data: Path) -> None:
    agree(real(real_data))


def test_one_hypercomplex_band_is_the_absolute_index() -> None:
    reference, estimate = (a[:1, :32, :32] for a in made())
    x, y = reference[0].ravel(), estimate[0].ravel()
    q = (
        4
        * np.cov(x, y, bias=True)[0, 1]
        * x.mean()
        * y.mean()
        / ((x.var() + y.var()) * (x.mean() ** 2 + y.mean() ** 2))
    )
    assert q2n_of_block(reference, estimate) == pytest.approx(abs(q), rel=1e-12)


def test_two_bands_are_one_complex_number() -> None:
    reference, estimate = (a[:2, :32, :32] for a in made())
    z, w = (a[0].ravel() + 1j * a[1].ravel() for a in (reference, estimate))
    covariance = np.mean((z - z.mean()) * np.conj(w - w.mean()))
    variances = np.mean(abs(z - z.mean()) ** 2) + np.mean(abs(w - w.mean()) ** 2)
    expected = 4 * abs(covariance) * abs(z.mean()) * abs(w.mean())
    expected /= variances * (abs(z.mean()) ** 2 + abs(w.mean()) ** 2)
    assert q2n_of_block(reference, estimate) == pytest.approx(expected, rel=1e-12)


def test_four_bands_multiply_as_quaternions() -> None:
    """1, i, j, k: i j = k, j k = i, k i = j, and each squares to −1."""
    products = conjugate_products(4)
    signs = np.array([1, -1, -1, -1])
    table = products * signs[None, None, :]  # the conjugate undone
    expected = {
        (1, 2): (3, 1),
        (2, 3): (1, 1),
        (3, 1): (2, 1),
        (2, 1): (3, -1),
        (1, 1): (0, -1),
        (0, 2): (2, 1),
    }
    for (i, j), (k, sign) in expected.items():
        assert table[k, i, j] == sign
        assert np.count_nonzero(table[:, i, j]) == 1


@given(st.sampled_from([1, 2, 4, 8]), st.integers(0, 100))
def test_the_product_of_two_numbers_has_the_product_of_their_lengths(n: int, seed: int) -> None:
    """So it is up to the octonions (Hurwitz)."""
    x, y = np.random.default_rng(seed).normal(size=(2, n))
    product = np.einsum("kij,i,j->k", conjugate_products(n), x, y)
    assert np.linalg.norm(product) == pytest.approx(np.linalg.norm(x) * np.linalg.norm(y), rel=1e-9)


@pytest.mark.parametrize("n", [1, 2, 4, 8, 16])
def test_a_number_times_its_conjugate_is_real(n: int) -> None:
    x = np.random.default_rng(n).normal(size=n)
    product = np.einsum("kij,i,j->k", conjugate_products(n), x, x)
    assert product[0] == pytest.approx(x @ x)
    assert product[1:] == pytest.approx(np.zeros(n - 1), abs=1e-12)


@pytest.mark.parametrize("bands", [1, 3, 4, 6])
def test_hypercomplex_quality(bands: int) -> None:
    reference, estimate = made(bands)
    found = measure(Q2n(), reference, estimate)["q2n"]
    assert 0 < found < 1
    assert measure(Q2n(), reference * 3, estimate * 3)["q2n"] == pytest.approx(found, rel=1e-9)
    assert measure(Q2n(), reference, reference * 0.5)["q2n"] == pytest.approx(0.64, rel=1e-9)
    if bands > 1:
        swapped = estimate[[1, 0, *range(2, bands)]]
        assert measure(Q2n(), reference, swapped)["q2n"] < found


def test_only_whole_blocks_count() -> None:
    reference, estimate = made(height=70, width=95)
    inner = measure(Q2n(), reference[:, :64, :64], estimate[:, :64, :64])["q2n"]
    assert measure(Q2n(), reference, estimate)["q2n"] == pytest.approx(inner, rel=1e-12)


def test_flat_blocks_are_compared_by_their_means() -> None:
    flat = np.ones((3, 32, 32))
    assert measure(Q2n(), 0.1 * flat, 0.3 * flat)["q2n"] == pytest.approx(0.6)
    assert measure(Q2n(), 0 * flat, 0 * flat)["q2n"] == 1.0
