"""The loss that ties two paths of a network together: how alike the positions of one feature map are to one another."""

import torch.nn.functional as F
from torch import Tensor

from rsmtl.ranks import batch_mean

_EPSILON = 1e-8


def feature_affinity(features: Tensor, other: Tensor, subsampling: int = 8) -> Tensor:
    """Return the mean |S − S'| of the cosine similarities between all positions of two feature maps.

    Wang, Li, Zhu et al., "Dual super-resolution learning for semantic segmentation", CVPR 2020, feature affinity with
    p = 2 and q = 1, averaged over the (H' W')² pairs of positions and over the batch. The abstract on three objectives
    says only "distance of similarity" between its two components; this is what it builds on.

    Parameters
    ----------
    features, other
        `(N, C, H, W)` and `(N, C', H, W)`; S has a row and a column for each position, so C and C' may differ.
    subsampling
        Edge of the average pooling before; a map that is smaller is pooled so far that two positions are left along
        its axes.

    Returns
    -------
    Tensor
        Scalar in [0, 2], float32; a feature vector of zeros is like no other.
    """
    return batch_mean((_similarity(features, subsampling) - _similarity(other, subsampling)).abs())


def _similarity(features: Tensor, subsampling: int) -> Tensor:
    """Cosine of the features at each two positions, `(N, H' W', H' W')`."""
    height, width = features.shape[-2:]
    kernel = tuple(min(subsampling, max(1, size // 2)) for size in (height, width))
    vectors = F.normalize(F.avg_pool2d(features.float(), kernel).flatten(2), dim=1, eps=_EPSILON)
    return vectors.transpose(1, 2) @ vectors
