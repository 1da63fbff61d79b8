"""Errors pixel by pixel."""

import pytest
import torch

from rsmtl.losses import mean_absolute, mean_squared


@pytest.mark.parametrize(("loss", "expected"), [(mean_absolute, 2.0), (mean_squared, 4.0)])
def test_it_is_a_mean_and_not_a_sum(loss, expected: float) -> None:
    assert loss(torch.full((2, 3, 7, 7), 2.0), torch.zeros(2, 3, 7, 7)).item() == expected


@pytest.mark.parametrize("loss", [mean_absolute, mean_squared])
def test_half_precision_is_judged_in_float32(loss) -> None:
    output = torch.full((1, 1, 64, 64), 0.1, dtype=torch.bfloat16)
    found = loss(output, torch.zeros(1, 1, 64, 64))
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(loss(output.float(), torch.zeros(1, 1, 64, 64)).item(), rel=1e-6)
