"""How good a module is on whole scenes."""

import math
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from rsmtl.datasets import LabelledScene, scene_windows
from rsmtl.losses import IGNORE
from rsmtl.metrics import confusion_matrix, psnr, scores, squared_error

Precision = Literal["fp32", "bf16"]


def channels_last(module: nn.Module) -> nn.Module:
    """Return the module in the memory layout in which convolutions on a CPU are fastest."""
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def forward(module: nn.Module, image: Tensor, precision: Precision) -> dict[str, Tensor]:
    """Run a module on `(N, C, H, W)` in the memory layout and number format that are fast."""
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        outputs: dict[str, Tensor] = module(image.contiguous(memory_format=torch.channels_last))
    return outputs


@torch.inference_mode()
def evaluate(
    module: nn.Module,
    scenes: Iterable[LabelledScene],
    class_names: tuple[str, ...],
    *,
    window_px: int,
    precision: Precision,
) -> dict[str, Any]:
    """Score a module that takes `image` and gives `segmentation`, over all labelled pixels of `scenes`.

    Windows lie side by side without overlap, so a prediction with overlapping windows is a little better.

    Returns
    -------
    dict
        Plain numbers, ready for JSON: scores, the confusion matrix (rows truth) and, if the module
        reconstructs, the PSNR of the reconstruction in network values.
    """
    module.eval()
    confusion = np.zeros((len(class_names), len(class_names)), dtype=np.int64)
    error = np.zeros(2)
    for scene in scenes:
        windows: Any = list(scene_windows(scene, window_px))  # a list has all that a DataLoader asks for
        for batch in DataLoader(windows, batch_size=4):
            outputs = forward(module, batch["image"], precision)
            labels = batch["segmentation"].numpy()
            confusion += confusion_matrix(
                labels, outputs["segmentation"].argmax(dim=1).numpy(), len(confusion)
            )
            if "reconstruction" in outputs:
                image, rebuilt = (
                    t.float().transpose(0, 1).numpy() for t in (batch["image"], outputs["reconstruction"])
                )
                error += squared_error(image, rebuilt, valid=labels != IGNORE)
    return {**summary(confusion, class_names), **({"psnr_db": psnr(error, 1.0)} if error[1] else {})}


def summary(confusion: NDArray[np.int64], class_names: tuple[str, ...]) -> dict[str, Any]:
    """Return the scores of a confusion matrix as plain numbers, None where a score has no meaning."""
    result = scores(confusion)
    by_class = {name: getattr(result, name) for name in ("iou", "f1", "precision", "recall")}
    return {
        "mean_iou": _plain(result.mean_iou),
        "overall_accuracy": _plain(result.overall_accuracy),
        "normalised_accuracy": _plain(result.normalised_accuracy),
        "frequency_weighted_iou": _plain(result.frequency_weighted_iou),
        "kappa": _plain(result.kappa),
        **{
            score: {name: _plain(value) for name, value in zip(class_names, values, strict=True)}
            for score, values in by_class.items()
        },
        "confusion": confusion.tolist(),
    }


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
