"""Losses of class maps: cross-entropy, and cross-entropy with the soft Jaccard index."""

import torch
import torch.nn.functional as F
from torch import Tensor

from rsmtl.ranks import over_ranks

IGNORE = 255
"""Label of pixels that no loss and no metric counts."""

_EPSILON = 1e-7
"""Keeps the logarithm of an empty intersection finite; float32 still sees it beside one."""


def cross_entropy(logits: Tensor, labels: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Return the mean softmax cross-entropy over the pixels that have a label, on all ranks.

    U-REC's segmentation term, that of the three-objective CNN, and that of the end-to-end D-DBPN and SegNet.

    Parameters
    ----------
    logits
        `(N, K, H, W)`, any real numbers.
    labels
        `(N, H, W)` int64, class index or `IGNORE`.
    class_weights
        `(K,)` float32: how much a pixel of each class counts in the mean; all count alike unless given.

    Returns
    -------
    Tensor
        Scalar ≥ 0, float32. Without any labelled pixel it is zero, not 0/0.
    """
    class_weights = None if class_weights is None else class_weights.to(logits.device)
    total = F.cross_entropy(logits.float(), labels, class_weights, ignore_index=IGNORE, reduction="sum")
    known = labels[labels != IGNORE]
    counted: Tensor = (torch.ones_like(known) if class_weights is None else class_weights[known]).sum()
    return _ratio(total, counted)


def _ratio(total: Tensor, counted: Tensor) -> Tensor:
    """Divide sums over all ranks; what sums up nothing is zero."""
    total, counted = over_ranks(torch.stack([total.double(), counted.double()]))
    mean: Tensor = total / torch.where(counted > 0, counted, 1.0)
    return mean.float()


def jaccard_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return H − ln J: the mean cross-entropy, and the logarithm of the soft Jaccard index.

    Khalel, Tasar, Charpiat, Tarabalka, "Multi-task deep learning for satellite image pansharpening and
    segmentation", IGARSS 2019, its segmentation loss. J = Σ y p / Σ (y + p − y p) is one ratio over all pixels of
    the batch. With one channel only the foreground counts; with several all pairs of pixel and class are pooled, as
    its authors' code does. Their code adds 10⁻¹⁶ to both sums, which float32 does not see; we add 10⁻⁷.

    Parameters
    ----------
    logits
        `(N, 1, H, W)` for two classes told apart by a sigmoid, or `(N, K, H, W)` for a softmax.
    labels
        `(N, H, W)` int64, class index or `IGNORE`.

    Returns
    -------
    Tensor
        Scalar ≥ 0, float32; without any labelled pixel zero.
    """
    logits, counted = logits.float(), labels != IGNORE
    if logits.shape[1] == 1:
        truth = (labels == 1).float()[:, None]
        entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")[:, 0]
        probability = logits.sigmoid()
    else:
        truth = _one_hot(labels, logits.shape[1])
        entropy = F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="none")
        probability = logits.softmax(dim=1)
    mask = counted[:, None]
    both = (truth * probability * mask).sum()
    either = ((truth + probability - truth * probability) * mask).sum()
    both, either = over_ranks(torch.stack([both, either]))
    jaccard: Tensor = (both + _EPSILON) / (either + _EPSILON)
    return _ratio((entropy * counted).sum(), counted.sum()) - jaccard.log()


def _one_hot(labels: Tensor, n_classes: int) -> Tensor:
    """Return `(N, K, H, W)` float32; nothing where the label is `IGNORE`."""
    classes = torch.arange(n_classes, device=labels.device)[None, :, None, None]
    return (labels[:, None] == classes).float()
