"""How good a module is on whole scenes, by the metrics of the papers; the windows are shared among the ranks."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rsmtl.datasets import LABELS, LabelledScene, Place, read_window, windows_of
from rsmtl.losses import IGNORE
from rsmtl.metrics import Confusion, Ergas, Metric, Part, Psnr, QIndex, Sam
from rsmtl.models.spec import HeadSpec, ModelSpec
from rsmtl.training.examples import Batch, Feeding
from rsmtl.training.group import Group
from rsmtl.training.loader import Loader

Precision = Literal["fp32", "bf16"]
Scores = dict[str, dict[str, Any]]
"""By head, ready for JSON."""

_BATCH = 4


def channels_last(module: nn.Module) -> nn.Module:
    """Return the module in the memory layout in which convolutions are fastest."""
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def forward(
    module: nn.Module, batch: Mapping[str, Tensor], spec: ModelSpec, precision: Precision
) -> dict[str, Tensor]:
    """Run a module on its inputs in the memory layout and number format that are fast."""
    inputs = [batch[one.name].contiguous(memory_format=torch.channels_last) for one in spec.inputs]
    with torch.autocast(inputs[0].device.type, torch.bfloat16, enabled=precision == "bf16"):
        outputs: dict[str, Tensor] = module(*inputs)
    return outputs


@dataclass(frozen=True)
class Validation:
    """What is scored, and how."""

    spec: ModelSpec
    feeding: Feeding
    window_px: int
    precision: Precision
    n_threads: int

    @torch.inference_mode()
    def scores(
        self,
        module: nn.Module,
        scenes: Sequence[LabelledScene],
        group: Group,
        alive: Callable[[], None] = lambda: None,
    ) -> Scores:
        """Score a module over all pixels of the scenes, by head.

        Segmentation gets its confusion matrix and what follows from it; what is pansharpened PSNR, Q, SAM and ERGAS;
        other images PSNR. Values are network values. Windows lie side by side without overlap, so a prediction with
        overlapping windows is a little better, and `rsmtl evaluate` the exact measure of one. `alive` is called after
        each batch.
        """
        module.eval()
        metrics = {head.name: self._metrics(head) for head in self.spec.heads}
        shares = group.share(range(len(places := self.places(scenes))))
        mine = [places[i] for i in shares]
        batches = [mine[i : i + _BATCH] for i in range(0, len(mine), _BATCH)]
        sums: dict[str, list[NDArray[np.float64]]] = {}
        for batch in Loader(self.example, batches, self.n_threads, group.device):
            outputs = forward(module, batch, self.spec, self.precision)
            for name, part in self._parts(batch, outputs):
                found = [metric.sums(part) for metric in metrics[name]]
                sums[name] = (
                    [a + b for a, b in zip(sums[name], found, strict=True)] if name in sums else found
                )
            alive()
        return {
            name: _plain(self._merged(metrics[name], sums.get(name), head.channels, group))
            for name, head in ((head.name, head) for head in self.spec.heads)
        }

    def example(self, place: Place) -> Batch:
        """Return one window of a scene as the system is fed with it."""
        return self.feeding.example(read_window(place, self.window_px))

    def places(self, scenes: Sequence[LabelledScene]) -> list[Place]:
        """Return the windows of all scenes."""
        return [place for scene in scenes for place in windows_of(scene, self.window_px)]

    def _metrics(self, head: HeadSpec) -> tuple[Metric, ...]:
        if head.kind == "classes":
            return (Confusion(tuple(c.name for c in head.classes) or tuple(map(str, range(head.n_classes)))),)
        if head.name == "hrms":
            ratio = Fraction(self.spec.input(head.like).scale) / Fraction(head.scale)
            return Psnr(1.0), QIndex(), Sam(), Ergas(ratio)
        return (Psnr(1.0),)

    def _parts(self, batch: Batch, outputs: Mapping[str, Tensor]) -> "list[tuple[str, Part]]":
        """Return estimate and truth of each head and window."""
        parts = []
        for head in self.spec.heads:
            truth = batch[self.target(head)]
            estimate = class_map(outputs[head.name]) if head.kind == "classes" else outputs[head.name]
            for i in range(len(truth)):
                reference, found = (np.atleast_3d(v[i].float().cpu().numpy()) for v in (truth, estimate))
                if head.kind == "classes":
                    reference, found = (v[..., 0][None].astype(np.int64) for v in (reference, found))
                    valid = reference[0] != IGNORE
                else:
                    valid = _at(batch["counted"][i], reference.shape[-2:])
                own = (slice(0, valid.shape[0]), slice(0, valid.shape[1]))
                parts.append((head.name, Part(reference, found, valid, own)))
        return parts

    def target(self, head: HeadSpec) -> str:
        """Return what of a batch a head should have given: a reconstruction its input, others what has their name."""
        return {"reconstruction": head.like}.get(head.name, LABELS if head.kind == "classes" else head.name)

    def _merged(
        self,
        metrics: tuple[Metric, ...],
        sums: list[NDArray[np.float64]] | None,
        channels: int,
        group: Group,
    ) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for i, metric in enumerate(metrics):
            mine = sums[i] if sums else _nothing(metric, channels)
            merged |= metric.result(group.sum(mine))
        return merged


def validation_score(found: Scores) -> float:
    """Return the number by which epochs are compared: the mean IoU, or without classes the PSNR of the first head."""
    for name in ("mean_iou", "psnr_db"):
        for scores in found.values():
            if scores.get(name) is not None:
                return float(scores[name])
    return 0.0


def class_map(logits: Tensor) -> Tensor:
    """Return class indices `(N, H, W)` of logits `(N, K, H, W)`, or of one sigmoid channel."""
    return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(dim=1)


def _nothing(metric: Metric, channels: int) -> NDArray[np.float64]:
    """Return the sums of no pixel, which a rank without windows contributes."""
    empty = np.zeros((1 if isinstance(metric, Confusion) else channels, 8, 8), np.int64)
    return metric.sums(Part(empty, empty, np.zeros((8, 8), bool), (slice(0, 8), slice(0, 8))))


def _at(counted: Tensor, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Bring a mask of the reference grid to a coarser one: a pixel counts if all of it does."""
    mask = counted.cpu().numpy()
    factor = mask.shape[0] // shape[0]
    return np.asarray(mask.reshape(shape[0], factor, shape[1], factor).all(axis=(1, 3)))


def _plain(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result with None where a score has no meaning: JSON has no NaN."""
    plain: dict[str, Any] = {}
    for name, value in result.items():
        if isinstance(value, dict):
            plain[name] = _plain(value)
        else:
            plain[name] = None if isinstance(value, float) and not math.isfinite(value) else value
    return plain
