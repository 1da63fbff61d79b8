"""PSNR, ERGAS, SAM: worked values, and what other tools say."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
import torchmetrics.functional.image as torchmetrics
from skimage.metrics import peak_signal_noise_ratio

from rsmtl.metrics import Ergas, Psnr, Sam, measure, psnr, squared_error
from tests.metrics.images import Pair, made, real


def tensors(pair: Pair) -> tuple[torch.Tensor, torch.Tensor]:
    """Estimate and reference, as torchmetrics takes them."""
    return torch.from_numpy(pair[1])[None], torch.from_numpy(pair[0])[None]


def test_ergas_of_two_flat_bands() -> None:
    """Means 100 and 200, both off by 10: 100 / 4 √((0.1² + 0.05²) / 2)."""
    reference = np.stack([np.full((5, 6), 100.0), np.full((5, 6), 200.0)])
    found = measure(Ergas(Fraction(1, 4)), reference, reference + 10)["ergas"]
    assert found == pytest.approx(1.9764235, abs=1e-7)
    assert measure(Ergas(Fraction(4)), reference, reference + 10)["ergas"] == pytest.approx(31.6227766)


def test_ergas_and_angle_do_not_depend_on_the_unit() -> None:
    reference, estimate = made()
    for metric in (Ergas(Fraction(1, 4)), Sam()):
        (found,) = measure(metric, reference, estimate).values()
        (scaled,) = measure(metric, reference / 2047, estimate / 2047).values()
        assert scaled == pytest.approx(found, rel=1e-9)


def test_ergas_of_a_band_without_light_has_no_meaning() -> None:
    assert np.isnan(measure(Ergas(Fraction(1, 4)), np.zeros((1, 4, 4)), np.ones((1, 4, 4)))["ergas"])


def test_the_angle_between_two_spectra() -> None:
    reference = np.array([1.0, 0.0, 1.0]).reshape(3, 1, 1).repeat(2, axis=2)
    estimate = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]).reshape(3, 1, 2)
    assert measure(Sam(), reference, estimate)["sam_deg"] == pytest.approx(45)  # the second has no angle
    assert measure(Sam(), reference, 3 * reference)["sam_deg"] == pytest.approx(0, abs=1e-5)


def agree(pair: Pair) -> None:
    estimate, reference = tensors(pair)
    ratio = torchmetrics.error_relative_global_dimensionless_synthesis(estimate, reference, ratio=4)
    assert measure(Ergas(Fraction(1, 4)), *pair)["ergas"] == pytest.approx(ratio.item(), rel=1e-9)
    angle = torchmetrics.spectral_angle_mapper(estimate, reference)
    assert measure(Sam(), *pair)["sam_deg"] == pytest.approx(np.degrees(angle.item()), rel=1e-9)
    ours = measure(Psnr(2047.0), *pair)["psnr_db"]
    assert ours == pytest.approx(peak_signal_noise_ratio(*pair, data_range=2047), rel=1e-12)
    theirs = torchmetrics.peak_signal_noise_ratio(estimate, reference, data_range=2047.0)
    assert ours == pytest.approx(theirs.item(), rel=1e-6)


def test_two_public_tools_agree_on_a_made_pair() -> None:
    agree(made())


@pytest.mark.real
def test_two_public_tools_agree_on_a_real_pair(real_data: Path) -> None:
    agree(real(real_data))


def test_psnr_adds_up_and_respects_the_mask():
    rng = np.random.default_rng(0)
    reference = rng.uniform(0, 1, (3, 40, 50))
    estimate = reference + 0.1
    whole = squared_error(reference, estimate)
    halves = squared_error(reference[:, :17], estimate[:, :17]) + squared_error(
        reference[:, 17:], estimate[:, 17:]
    )
    assert halves == pytest.approx(whole)
    assert psnr(whole, 1.0) == pytest.approx(20.0)
    assert psnr(whole, 2047.0) == pytest.approx(20 + 20 * np.log10(2047))
    valid = np.ones((40, 50), dtype=bool)
    valid[3, 4] = False
    estimate[:, 3, 4] = np.nan
    assert psnr(squared_error(reference, estimate, valid), 1.0) == pytest.approx(20.0)


def test_psnr_of_equal_and_of_no_values():
    image = np.ones((1, 2, 2))
    assert psnr(squared_error(image, image), 1.0) == np.inf
    assert np.isnan(psnr(np.zeros(2), 1.0))
