"""Losses: every formula of the papers as a plain function of two tensors, and the sum of named terms."""

from rsmtl.losses.affinity import feature_affinity
from rsmtl.losses.quality import pansharpening_quality, universal_quality
from rsmtl.losses.regression import mean_absolute, mean_squared
from rsmtl.losses.segmentation import IGNORE, cross_entropy, jaccard_cross_entropy
from rsmtl.losses.terms import Term, loss_terms, with_class_weights

__all__ = [
    "IGNORE",
    "Term",
    "cross_entropy",
    "feature_affinity",
    "jaccard_cross_entropy",
    "loss_terms",
    "mean_absolute",
    "mean_squared",
    "pansharpening_quality",
    "universal_quality",
    "with_class_weights",
]
