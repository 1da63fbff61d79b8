"""Classical pansharpening against numpy and scipy on whole arrays."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import generic_filter, uniform_filter

from rsmtl.models.classical import Brovey, Injection, Lmvm, local_moments
from tests import fakes


def pair(height: int = 40, width: int = 52) -> tuple[torch.Tensor, torch.Tensor]:
    pan = fakes.textured((1, 1, height, width), seed=1) * 2047
    ms = fakes.textured((1, 3, height, width), seed=2) * 1500 + 100
    return torch.from_numpy(pan), torch.from_numpy(ms)


@pytest.mark.parametrize("radius", [1, 2])
def test_local_moments_are_those_of_scipy(radius: int) -> None:
    image = fakes.textured((1, 1, 20, 25), seed=3).astype(np.float64)
    mean, sd = local_moments(torch.from_numpy(image), radius)
    size = 2 * radius + 1
    np.testing.assert_allclose(mean[0, 0], uniform_filter(image[0, 0], size, mode="mirror"), rtol=1e-12)
    np.testing.assert_allclose(sd[0, 0], generic_filter(image[0, 0], np.std, size, mode="mirror"), rtol=1e-9)


def test_local_mean_and_variance_matching_is_its_formula() -> None:
    pan, ms = pair()

    def moments(image: NDArray) -> tuple[NDArray, NDArray]:
        return uniform_filter(image, 3, mode="mirror"), generic_filter(image, np.std, 3, mode="mirror")

    mean_pan, sd_pan = moments(pan[0, 0].double().numpy())
    found = Lmvm(1)(pan, ms)["hrms"][0].numpy()
    for band, values in zip(found, ms[0].double().numpy(), strict=True):
        mean_ms, sd_ms = moments(values)
        expected = (pan[0, 0].numpy() - mean_pan) * sd_ms / sd_pan + mean_ms
        np.testing.assert_allclose(band, expected, rtol=1e-5)


@given(st.integers(0, 50), st.booleans())
def test_ms_that_is_pan_comes_back(seed: int, flat: bool) -> None:
    pan = torch.from_numpy(np.rint(fakes.textured((1, 1, 17, 23), seed=seed) * 2047))
    if flat:
        pan[..., 5:12, 5:12] = 700
    np.testing.assert_allclose(Lmvm(1)(pan, pan)["hrms"], pan, rtol=1e-6)


def test_where_pan_is_flat_there_is_no_detail() -> None:
    _, ms = pair()
    found = Lmvm(1)(torch.full((1, 1, 40, 52), 300.0), ms)["hrms"]
    assert found.isfinite().all()
    mean = uniform_filter(ms[0, 1].double().numpy(), 3, mode="mirror")
    np.testing.assert_allclose(found[0, 1], mean, rtol=1e-5)


def test_brovey_keeps_the_proportions_and_takes_pan_for_intensity() -> None:
    pan, ms = pair()
    found = Brovey()(pan, ms)["hrms"]
    np.testing.assert_allclose(found.mean(dim=1, keepdim=True), pan, rtol=1e-5)
    np.testing.assert_allclose(found[:, 0] / found[:, 1], ms[:, 0] / ms[:, 1], rtol=1e-4)


def test_brovey_leaves_black_black() -> None:
    assert not Brovey()(torch.ones(1, 1, 4, 4), torch.zeros(1, 3, 4, 4))["hrms"].any()


def test_an_intensity_that_is_pan_injects_nothing() -> None:
    _, ms = pair()
    pan = 5 + 0.5 * ms[:, :1] + 0.25 * ms[:, 1:2] + 0.125 * ms[:, 2:]
    found = Injection(5.0, [0.5, 0.25, 0.125], [1.0, 2.0, 3.0])(pan, ms)["hrms"]
    np.testing.assert_allclose(found, ms, rtol=1e-5)
    brighter = Injection(5.0, [0.5, 0.25, 0.125], [1.0, 2.0, 3.0])(pan + 10, ms)["hrms"]
    np.testing.assert_allclose(
        brighter - found, torch.tensor([10.0, 20, 30]).reshape(1, 3, 1, 1).expand_as(ms), rtol=1e-3
    )
