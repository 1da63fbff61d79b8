"""Q and PSNR as a loss: worked values, and nothing that is not finite."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rsmtl.losses import pansharpening_quality, universal_quality


def checkerboard() -> Tensor:
    """8×8 of 0.2 and 0.6."""
    rows, cols = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
    return (0.2 + 0.4 * ((rows + cols) % 2))[None, None]


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
    assert universal_quality(change(checkerboard()), checkerboard()).item() == pytest.approx(
        expected, abs=1e-6
    )


@given(st.floats(0.05, 4.0), st.integers(0, 1000))
def test_a_gain_costs_the_same_on_any_texture(k: float, seed: int) -> None:
    texture = torch.rand(1, 2, 12, 11, generator=torch.Generator().manual_seed(seed))
    expected = (2 * k / (1 + k * k)) ** 2
    assert universal_quality(k * texture, texture).item() == pytest.approx(expected, abs=1e-5)


def test_a_map_has_a_window_at_every_pixel_that_has_a_whole_one() -> None:
    """One pixel of 16×16 wrong at the corner: only the one window that holds it counts less than one."""
    texture = torch.rand(1, 1, 16, 16)
    wrong = texture.clone()
    wrong[..., 0, 0] += 0.5
    corner = universal_quality(wrong[..., :8, :8], texture[..., :8, :8]).item()
    assert universal_quality(wrong, texture).item() == pytest.approx((80 + corner) / 81, abs=1e-6)


def test_half_of_it() -> None:
    """MSE 0.05 is 13.0103 dB; with Q = 0.64 the loss is 1.099794, and the total of system A 1.2381871."""
    loss = pansharpening_quality(0.5 * checkerboard(), checkerboard()).item()
    assert loss == pytest.approx(1.0997940, abs=1e-6)
    assert 0.2 * math.log(6) + 0.8 * loss == pytest.approx(1.2381871, abs=1e-6)


def test_a_mean_squared_error_of_a_hundredth_is_20_db() -> None:
    texture = checkerboard()
    loss = pansharpening_quality(texture + 0.1, texture) - (1 - universal_quality(texture + 0.1, texture))
    assert loss.item() == pytest.approx(0.6, abs=1e-6)


def test_a_perfect_image_ends_at_100_db() -> None:
    output = checkerboard().requires_grad_()
    loss = pansharpening_quality(output, checkerboard())
    loss.backward()
    assert loss.item() == pytest.approx(-1, abs=1e-6)
    assert output.grad is not None
    assert output.grad.isfinite().all()


@pytest.mark.parametrize(("output", "target"), [(0.0, 0.0), (0.3, 0.3), (0.0, 0.3), (0.3, 0.0), (1.0, 0.5)])
def test_flat_windows_have_finite_gradients(output: float, target: float) -> None:
    flat = torch.full((1, 2, 10, 10), output, requires_grad=True)
    quality = universal_quality(flat, torch.full((1, 2, 10, 10), target))
    quality.backward()
    means = 2 * output * target / (output**2 + target**2) if output or target else 1.0
    assert quality.item() == pytest.approx(means, abs=1e-6)
    assert flat.grad is not None
    assert flat.grad.isfinite().all()


def test_half_precision_is_judged_in_full() -> None:
    texture = torch.rand(1, 1, 16, 16).bfloat16()
    assert universal_quality(texture, texture).item() == pytest.approx(1, abs=1e-6)
    assert pansharpening_quality(texture, texture).dtype == torch.float32
