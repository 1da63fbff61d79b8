"""Metrics as sums that add up over parts of a scene, images and ranks, and what the sums mean."""

from rsmtl.metrics.confusion import Confusion, Scores, confusion_matrix, scores
from rsmtl.metrics.correlation import Scc
from rsmtl.metrics.error import Ergas, Psnr, Sam, psnr, squared_error
from rsmtl.metrics.metric import Metric, Part, Result, Sums, measure, whole
from rsmtl.metrics.noreference import FusedPart, NoReference
from rsmtl.metrics.quality import Q2n, QIndex
from rsmtl.metrics.structure import Ssim

__all__ = [
    "Confusion",
    "Ergas",
    "FusedPart",
    "Metric",
    "NoReference",
    "Part",
    "Psnr",
    "Q2n",
    "QIndex",
    "Result",
    "Sam",
    "Scc",
    "Scores",
    "Ssim",
    "Sums",
    "confusion_matrix",
    "measure",
    "psnr",
    "scores",
    "squared_error",
    "whole",
]
