"""Feature affinity: similarity among positions, whatever the features' width, size or length."""

import pytest
import torch

from rsmtl.losses import feature_affinity
from rsmtl.losses.affinity import _similarity


def test_the_same_features_differ_by_nothing() -> None:
    features = torch.randn(2, 5, 32, 32)
    assert feature_affinity(features, features).item() == 0
    assert feature_affinity(7 * features, features).item() == pytest.approx(0, abs=1e-6)


def test_two_positions() -> None:
    """Orthogonal on one side, equal on the other: two of four entries differ, by one each."""
    apart = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).T.reshape(1, 2, 1, 2)
    alike = torch.tensor([[1.0, 0.0], [1.0, 0.0]]).T.reshape(1, 2, 1, 2)
    assert feature_affinity(apart, alike).item() == 0.5


def test_similarities_are_cosines_of_pooled_positions() -> None:
    found = _similarity(torch.randn(2, 5, 64, 64), 8)
    assert found.shape == (2, 64, 64)
    assert torch.allclose(found, found.transpose(1, 2))
    assert torch.allclose(found.diagonal(dim1=1, dim2=2), torch.ones(2, 64), atol=1e-6)
    assert found.abs().max() <= 1 + 1e-6


@pytest.mark.parametrize(("size", "positions"), [(64, 64), (16, 4), (12, 4), (5, 4), (2, 4)])
def test_a_small_map_keeps_more_than_one_position(size: int, positions: int) -> None:
    assert _similarity(torch.randn(1, 3, size, size), 8).shape[1] == positions


def test_widths_may_differ_and_the_value_is_bounded() -> None:
    value = feature_affinity(torch.randn(2, 3, 32, 32), torch.randn(2, 19, 32, 32)).item()
    assert 0 < value <= 2
    one = torch.ones(1, 1, 1, 2)
    assert feature_affinity(one, torch.tensor([1.0, -1.0]).reshape(1, 1, 1, 2)).item() == 1


def test_a_doubled_batch_changes_nothing() -> None:
    first, second = torch.randn(2, 4, 32, 32), torch.randn(2, 4, 32, 32)
    doubled = feature_affinity(torch.cat([first, first]), torch.cat([second, second]))
    assert doubled.item() == pytest.approx(feature_affinity(first, second).item(), rel=1e-6)


def test_features_of_zeros_are_finite() -> None:
    zeros = torch.zeros(1, 4, 16, 16, requires_grad=True)
    loss = feature_affinity(zeros, torch.randn(1, 4, 16, 16))
    loss.backward()
    assert loss.isfinite()
    assert zeros.grad is not None
    assert zeros.grad.isfinite().all()
