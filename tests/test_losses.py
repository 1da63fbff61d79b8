import math

import pytest
import torch

from rsmtl.errors import InputError
from rsmtl.losses import IGNORE, cross_entropy, loss_terms, mean_absolute

UREC = {"segmentation": 0.9, "reconstruction": 0.1}


def test_urec_total_of_uniform_logits_and_half_off():
    outputs = {"segmentation": torch.zeros(2, 6, 8, 8), "reconstruction": torch.full((2, 3, 8, 8), 0.5)}
    targets = {"segmentation": torch.randint(0, 6, (2, 8, 8)), "reconstruction": torch.zeros(2, 3, 8, 8)}
    terms = loss_terms(outputs, targets, UREC)
    assert set(terms) == {"segmentation", "reconstruction"}
    assert terms["reconstruction"].item() == pytest.approx(0.05)
    assert terms["segmentation"].item() == pytest.approx(0.9 * math.log(6))
    assert sum(terms.values()).item() == pytest.approx(1.6625835, abs=1e-6)


def test_cross_entropy_is_the_mean_over_labelled_pixels():
    logits = torch.randn(1, 4, 5, 5)
    labels = torch.randint(0, 4, (1, 5, 5))
    labels[0, 2] = IGNORE
    by_hand = -logits.log_softmax(1).gather(1, labels.clamp(max=3)[:, None])[:, 0]
    assert cross_entropy(logits, labels).item() == pytest.approx(
        by_hand[labels != IGNORE].mean().item(), rel=1e-5
    )


def test_no_labelled_pixel_is_zero_loss_and_zero_gradient():
    logits = torch.randn(1, 4, 5, 5, requires_grad=True)
    loss = cross_entropy(logits, torch.full((1, 5, 5), IGNORE))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_mean_absolute_is_a_mean_and_not_a_sum():
    assert mean_absolute(torch.full((2, 3, 7, 7), 2.0), torch.zeros(2, 3, 7, 7)).item() == 2


def test_half_precision_outputs_are_judged_in_float32():
    outputs = {"segmentation": torch.zeros(1, 6, 8, 8, dtype=torch.bfloat16)}
    terms = loss_terms(
        outputs, {"segmentation": torch.zeros(1, 8, 8, dtype=torch.int64)}, {"segmentation": 1.0}
    )
    assert terms["segmentation"].dtype == torch.float32


def test_term_without_a_head_is_refused():
    with pytest.raises(
        InputError, match="no loss term 'reconstruction' for this model: use one of segmentation"
    ):
        loss_terms({"segmentation": torch.zeros(1, 2, 4, 4)}, {}, {"reconstruction": 1.0})
