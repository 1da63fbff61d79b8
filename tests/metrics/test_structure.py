"""SSIM and SCC against other tools."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchmetrics.functional.image as torchmetrics
from scipy.signal import convolve2d
from skimage.metrics import structural_similarity

from rsmtl.metrics import Scc, Ssim, measure
from tests.metrics.images import Pair, made, real


def ssim_agrees(pair: Pair) -> None:
    reference, estimate = pair
    ours = measure(Ssim(2047.0), reference, estimate)["ssim"]
    options = {
        "data_range": 2047,
        "gaussian_weights": True,
        "use_sample_covariance": False,
        "channel_axis": 0,
    }
    assert ours == pytest.approx(structural_similarity(reference, estimate, **options), rel=1e-9)
    images = (torch.from_numpy(a)[None] for a in (estimate, reference))
    _, theirs = torchmetrics.structural_similarity_index_measure(
        *images, data_range=2047.0, return_full_image=True
    )
    inner = theirs[:, :, 5:-5, 5:-5]  # it pads, and counts windows that reach past the edge
    assert ours == pytest.approx(inner.mean().item(), rel=1e-6)


def test_two_public_tools_agree_on_a_made_pair() -> None:
    ssim_agrees(made())


@pytest.mark.real
def test_two_public_tools_agree_on_a_real_pair(real_data: Path) -> None:
    ssim_agrees(real(real_data))


def scc_agrees(pair: Pair) -> None:
    kernel = np.full((3, 3), -1.0)
    kernel[1, 1] = 8
    found = []
    for x, y in zip(*pair, strict=True):
        detail = [convolve2d(a, kernel, mode="valid").ravel() for a in (x, y)]
        found.append(np.corrcoef(*detail)[0, 1])
    assert measure(Scc(), *pair)["scc"] == pytest.approx(np.mean(found), rel=1e-9)


def test_detail_correlates_as_scipy_and_numpy_say() -> None:
    scc_agrees(made())


@pytest.mark.real
def test_detail_of_a_real_pair_correlates_as_scipy_and_numpy_say(real_data: Path) -> None:
    scc_agrees(real(real_data))


def test_an_inverted_image_has_opposite_detail() -> None:
    reference, _ = made()
    assert measure(Scc(), reference, 2047 - reference)["scc"] == pytest.approx(-1)
    assert np.isnan(measure(Scc(), reference, np.ones_like(reference))["scc"])
