"""A picture of what a model makes of validation windows: inputs, truth and heads side by side."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rsmtl.models.spec import HeadSpec
from rsmtl.store.quicklook import Panel, colored, draw, stretched, visible
from rsmtl.training.examples import Batch
from rsmtl.training.validate import Validation, class_map, forward

N_WINDOWS = 3
_GAP_PX = 4


@torch.inference_mode()
def draw_predictions(
    path: Path, title: str, module: nn.Module, windows: Batch, validation: Validation
) -> None:
    """Draw a few windows, one below the other.

    Raises
    ------
    RunError
        If the picture cannot be written.
    """
    module.eval()
    outputs = forward(module, windows, validation.spec, validation.precision)
    panels = [Panel(one.name, _images(windows[one.name], one.bands)) for one in validation.spec.inputs]
    for head in validation.spec.heads:
        target = validation.target(head)
        if target not in {one.name for one in validation.spec.inputs}:
            panels.append(_panel(f"{head.name}: truth", head, windows[target], validation))
        panels.append(_panel(f"{head.name}: predicted", head, _estimate(head, outputs), validation))
    draw(path, title, panels)


def _estimate(head: HeadSpec, outputs: Mapping[str, Tensor]) -> Tensor:
    return class_map(outputs[head.name]) if head.kind == "classes" else outputs[head.name]


def _panel(title: str, head: HeadSpec, values: Tensor, validation: Validation) -> Panel:
    if head.kind == "classes":
        maps = [colored(one.cpu().numpy().astype(np.uint8), head.classes) for one in values]
        return Panel(title, _stacked(maps), head.classes)
    bands = validation.spec.input(head.like).bands if head.like else ()
    return Panel(title, _images(values, bands[: head.channels]))


def _images(values: Tensor, bands: tuple[str, ...]) -> NDArray[np.uint8]:
    """Stretch the windows together, so that they can be compared."""
    rows = visible(torch.cat(list(values.float().cpu()), dim=1).numpy(), bands)
    return _stacked(np.split(stretched(rows), len(values)))


def _stacked(pictures: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    gap = np.full((_GAP_PX * len(pictures[0]) // 256, pictures[0].shape[1], 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (picture, gap)]
    return np.concatenate(parts[:-1])
