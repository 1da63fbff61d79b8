"""Cross-entropy, and cross-entropy with the soft Jaccard index."""

import math

import pytest
import torch

from rsmtl.losses import IGNORE, cross_entropy, jaccard_cross_entropy


def test_cross_entropy_is_the_mean_over_labelled_pixels() -> None:
    logits = torch.randn(1, 4, 5, 5)
    labels = torch.randint(0, 4, (1, 5, 5))
    labels[0, 2] = IGNORE
    by_hand = -logits.log_softmax(1).gather(1, labels.clamp(max=3)[:, None])[:, 0]
    assert cross_entropy(logits, labels).item() == pytest.approx(
        by_hand[labels != IGNORE].mean().item(), rel=1e-5
    )


@pytest.mark.parametrize(
    ("loss", "channels"), [(cross_entropy, 4), (jaccard_cross_entropy, 4), (jaccard_cross_entropy, 1)]
)
def test_no_labelled_pixel_is_zero_loss_and_zero_gradient(loss, channels: int) -> None:
    logits = torch.randn(1, channels, 5, 5, requires_grad=True)
    found = loss(logits, torch.full((1, 5, 5), IGNORE))
    found.backward()
    assert found.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize(
    ("loss", "channels"), [(cross_entropy, 3), (jaccard_cross_entropy, 3), (jaccard_cross_entropy, 1)]
)
def test_what_is_ignored_changes_nothing(loss, channels: int) -> None:
    logits, labels = torch.randn(2, channels, 6, 6), torch.randint(0, max(2, channels), (2, 6, 6))
    labels[:, 3:] = IGNORE
    wild = logits.clone()
    wild[:, :, 3:] = 50.0
    assert loss(wild, labels).item() == loss(logits, labels).item()
    assert loss(logits[:, :, :3], labels[:, :3]).item() == pytest.approx(
        loss(logits, labels).item(), rel=1e-5
    )


def test_one_hit_and_one_miss_at_even_odds() -> None:
    """H = ln 2, J = 1/3: together ln 6."""
    loss = jaccard_cross_entropy(torch.zeros(1, 1, 1, 2), torch.tensor([[[1, 0]]]))
    assert loss.item() == pytest.approx(math.log(6), abs=1e-6) == pytest.approx(1.7917595, abs=1e-6)


def test_the_jaccard_index_is_one_ratio_over_the_whole_batch() -> None:
    """One image of tree and one without: the mean of two ratios would be another number."""
    logits = torch.tensor([4.0, -4.0]).reshape(2, 1, 1, 1).expand(2, 1, 3, 3)
    labels = torch.tensor([1, 0]).reshape(2, 1, 1).expand(2, 3, 3)
    p = torch.sigmoid(torch.tensor(4.0)).item()
    expected = -math.log(p) - math.log(9 * p / (9 + 9 * (1 - p)))
    assert jaccard_cross_entropy(logits, labels).item() == pytest.approx(expected, rel=1e-5)


def test_several_classes_are_pooled() -> None:
    """Uniform over three classes: H = ln 3, J = (1/3) / (1 + 2/3)."""
    loss = jaccard_cross_entropy(torch.zeros(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4)))
    assert loss.item() == pytest.approx(math.log(3) - math.log((1 / 3) / (5 / 3)), rel=1e-5)


def test_nothing_to_find_and_nothing_found_is_finite() -> None:
    logits = torch.full((1, 1, 4, 4), -60.0, requires_grad=True)
    loss = jaccard_cross_entropy(logits, torch.zeros(1, 4, 4, dtype=torch.int64))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_wrong_with_certainty_is_finite() -> None:
    logits = torch.full((1, 1, 4, 4), -60.0, requires_grad=True)
    loss = jaccard_cross_entropy(logits, torch.ones(1, 4, 4, dtype=torch.int64))
    loss.backward()
    assert 60 < loss.item() < 100
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("loss", [cross_entropy, jaccard_cross_entropy])
def test_half_precision_is_judged_in_float32(loss) -> None:
    found = loss(torch.zeros(1, 6, 8, 8, dtype=torch.bfloat16), torch.zeros(1, 8, 8, dtype=torch.int64))
    assert found.dtype == torch.float32
