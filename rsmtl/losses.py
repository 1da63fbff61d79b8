"""Losses: named terms, each a plain function of two tensors, and their weighted sum.

A term has the name of the head it judges, so that a preset's `{"segmentation": 0.9, "reconstruction": 0.1}`
says all there is to say, and every term can be logged by itself.
"""

from collections.abc import Callable, Mapping

import torch.nn.functional as F
from torch import Tensor

from rsmtl.errors import InputError

IGNORE = 255
"""Label of pixels that no loss and no metric counts."""


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean softmax cross-entropy over the pixels that have a label.

    Parameters
    ----------
    logits
        `(N, K, H, W)`.
    labels
        `(N, H, W)` int64, class index or `IGNORE`. Without any labelled pixel the loss is zero, not 0/0.
    """
    total = F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum")
    return total / (labels != IGNORE).sum().clamp(min=1)


def mean_absolute(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean of |output − target| over batch, channels and pixels, both `(N, C, H, W)`.

    U-REC's paper (equation 1) writes a sum; its authors' code takes the mean, and so do we: a sum would be
    some 10^5 times the cross-entropy.
    """
    return (output - target).abs().mean()


TERMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "segmentation": cross_entropy,
    "reconstruction": mean_absolute,
}
"""Loss of each head, by the head's name."""


def loss_terms(
    outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor], weights: Mapping[str, float]
) -> dict[str, Tensor]:
    """Return the weighted terms of a total loss, which is their sum.

    U-REC's total is `{"reconstruction": w1, "segmentation": 1 − w1}` with w1 = 0.1 (its section 2.2).

    Parameters
    ----------
    outputs
        What the module returned, by head; computed in float32 whatever the module's precision was.
    targets
        What each head should have returned.
    weights
        Weight of each term; heads without one are not judged.

    Raises
    ------
    InputError
        If a weight names a head that the model or the list of terms does not have.
    """
    judged = sorted(set(TERMS) & set(outputs))
    for name in weights:
        if name not in judged:
            raise InputError(f"there is no loss term {name!r} for this model: use one of {', '.join(judged)}")
    return {name: w * TERMS[name](outputs[name].float(), targets[name]) for name, w in weights.items()}
