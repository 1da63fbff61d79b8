"""Quality without a reference: against direct computation, over any cut, and in order."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rsmtl.metrics import FusedPart, NoReference, Q2n, QIndex, measure
from rsmtl.metrics.noreference import bring_down
from tests import fakes


def scene(seed: int = 0, bands: int = 3) -> tuple[NDArray, NDArray, NDArray]:
    """A fused image that is right, its MS, and a PAN that is the mean of its bands."""
    fused = 100 + 1900 * fakes.textured((bands, 320, 288), seed=seed).astype(np.float64)
    return fused.mean(axis=0, keepdims=True), bring_down(fused, 4), fused


def all_of_it(pan: NDArray, ms: NDArray, fused: NDArray) -> dict[str, float]:
    height, width = ms.shape[1:]
    part = FusedPart(pan, ms, fused, np.ones((height, width), bool), (slice(0, height), slice(0, width)))
    metric = NoReference(4)
    return metric.result(metric.sums(part))


def test_it_is_what_the_indices_say() -> None:
    pan, ms, fused = scene()
    found = all_of_it(pan, ms, fused)
    pairs = list(combinations(range(3), 2))

    def q(x: NDArray, y: NDArray, size: int) -> float:
        return float(measure(QIndex(size), x[None], y[None])["q"])

    coarse = pan.reshape(1, 80, 4, 72, 4).mean(axis=(2, 4))
    spectral = np.mean([abs(q(fused[a], fused[b], 32) - q(ms[a], ms[b], 8)) for a, b in pairs])
    spatial = np.mean([abs(q(fused[b], pan[0], 32) - q(ms[b], coarse[0], 8)) for b in range(3)])
    assert found["d_lambda"] == pytest.approx(spectral, rel=1e-9)
    assert found["d_s"] == pytest.approx(spatial, rel=1e-9)
    assert found["qnr"] == pytest.approx((1 - spectral) * (1 - spatial), rel=1e-9)


def test_the_sensor_sees_its_own_image() -> None:
    pan, ms, fused = scene()
    found = all_of_it(pan, ms, fused)
    assert found["d_lambda_khan"] == pytest.approx(0, abs=1e-9)
    assert found["hqnr"] == pytest.approx(1 - found["d_s"], rel=1e-9)
    worse = fused.copy()
    worse[0] = worse[0] * 0.6 + 50
    degraded = all_of_it(pan, ms, worse)
    expected = 1 - measure(Q2n(), ms, bring_down(worse, 4))["q2n"]
    assert degraded["d_lambda_khan"] == pytest.approx(expected, rel=1e-9)
    assert degraded["hqnr"] < found["hqnr"]


def test_blur_costs_spatial_and_swapped_bands_spectral_quality() -> None:
    pan, ms, fused = scene()
    best = all_of_it(pan, ms, fused)
    blurred = ms.repeat(4, axis=1).repeat(4, axis=2)
    assert all_of_it(pan, ms, blurred)["d_s"] > best["d_s"]
    grey = np.repeat(pan, 3, axis=0)
    assert all_of_it(pan, ms, grey)["d_lambda"] > best["d_lambda"]


def test_a_gaussian_has_the_stated_gain_at_the_nyquist_frequency() -> None:
    """A wave of eight PAN pixels is MS's Nyquist frequency at a ratio of 4."""
    wave = np.cos(2 * np.pi * (np.arange(320) + 0.5) / 8 - np.pi / 4)[None, None].repeat(64, axis=1)
    seen = bring_down(wave, 4)[0, 8]
    original = wave[0, 0].reshape(-1, 4)[:, 1:3].mean(axis=1)
    assert np.abs(seen[5:-5]).max() / np.abs(original[5:-5]).max() == pytest.approx(0.3, abs=0.05)
    assert bring_down(np.ones((1, 64, 64)), 4) == pytest.approx(np.ones((1, 16, 16)))


@settings(max_examples=15)
@given(
    st.lists(st.integers(1, 79), max_size=2, unique=True),
    st.lists(st.integers(1, 71), max_size=2, unique=True),
    st.booleans(),
)
def test_parts_add_up_to_the_scene(ys: list[int], xs: list[int], holes: bool) -> None:
    pan, ms, fused = scene()
    fused = fused * 1.1 + 3 * np.random.default_rng(0).normal(size=fused.shape)
    metric, (height, width) = NoReference(4), ms.shape[1:]
    valid = np.ones((height, width), bool)
    if holes:
        valid[3:6, 40:44] = False
    before, after = metric.context_px
    whole = metric.sums(FusedPart(pan, ms, fused, valid, (slice(0, height), slice(0, width))))
    total = np.zeros_like(whole)
    for y0, y1 in zip([0, *sorted(ys)], [*sorted(ys), height], strict=True):
        for x0, x1 in zip([0, *sorted(xs)], [*sorted(xs), width], strict=True):
            top, left = max(0, y0 - before), max(0, x0 - before)
            rows, cols = slice(top, min(height, y1 + after)), slice(left, min(width, x1 + after))
            fine = tuple(slice(s.start * 4, s.stop * 4) for s in (rows, cols))
            own = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
            total += metric.sums(
                FusedPart(pan[:, *fine], ms[:, rows, cols], fused[:, *fine], valid[rows, cols], own, (y0, x0))
            )
    np.testing.assert_allclose(total, whole, rtol=1e-9, atol=1e-9)


def test_a_fused_image_of_other_bands_is_refused() -> None:
    pan, ms, fused = scene(bands=4)
    with pytest.raises(ValueError, match=r"3 fused band\(s\) and 4 of MS must be as many"):
        all_of_it(pan, ms, fused[:3])
