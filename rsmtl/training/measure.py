"""What windows do to a trained module, on validation data: its edge response, and its scores by window."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import ValidationError
from torch import Tensor, nn

from rsmtl.datasets import LabelledScene, Place, Splits, read_window
from rsmtl.errors import InputError, explain
from rsmtl.models import load_model, read_card
from rsmtl.models.margin import (
    EdgeResponse,
    Measured,
    Region,
    WindowScore,
    activated,
    displacement,
    edge_responses,
    largest_window,
    places,
)
from rsmtl.training.config import TrainConfig
from rsmtl.training.group import Device, Group, device_for, group_of_one
from rsmtl.training.validate import Validation, channels_last, forward

WINDOW_PX = 512
"""Edge of the windows whose edges are measured, where the scenes are large enough."""

REGIONS = 48
"""Regions that are measured at most; three windows run in each."""

WINDOWS_PX = (256, 512, 1024)
"""Windows that are scored, as far as the scenes hold them."""


def measure(
    module: nn.Module,
    validation: Validation,
    splits: Splits,
    group: Group,
    alive: Callable[[], None] = lambda: None,
) -> Measured:
    """Measure a module on validation data; scores are shared among the ranks, the edge response is the leader's.

    Where no validation scene is large enough for windows of `WINDOW_PX`, the training scenes serve for the edge
    response too: it is no score.

    Returns
    -------
    Measured
        Empty, but for the leader, of edges; and of all that no scene is large enough for.
    """
    edges = _edges(module, validation, splits, group, alive) if group.leads else {}
    group.wait()
    return Measured(edges=edges, windows=_scores(module, validation, splits.validation, group, alive))


def measure_checkpoint(checkpoint: str | Path, data_root: str | Path, device: Device = "auto") -> Measured:
    """Measure a checkpoint on the validation split of the data set that its own configuration names.

    Raises
    ------
    ModelError
        If the checkpoint cannot be loaded.
    InputError
        If it does not say how it was trained, or the data are missing.
    """
    from rsmtl.training.train import open_data, validation_of  # which measures what it has trained

    card = read_card(checkpoint)
    try:
        config = TrainConfig.model_validate(card.training.get("config"))
    except ValidationError as error:
        raise InputError(
            f"{checkpoint} does not say how it was trained in a way that this rsmtl knows ({explain(error)}): give "
            "scenes to measure it on instead"
        ) from error
    splits = open_data(config, Path(data_root))
    group = group_of_one(device_for(device))
    module = channels_last(load_model(checkpoint).module.to(group.device))
    return measure(module, validation_of(config, card.spec, splits), splits, group)


def _edges(
    module: nn.Module,
    validation: Validation,
    splits: Splits,
    group: Group,
    alive: Callable[[], None],
) -> dict[str, EdgeResponse]:
    spec, scenes = validation.spec, splits.validation
    window = _largest(validation, scenes)
    if window < WINDOW_PX // spec.step * spec.step and _largest(validation, splits.train) > window:
        scenes = (*scenes, *splits.train)
        window = _largest(validation, scenes)

    def run(inputs: list[Tensor]) -> dict[str, Tensor]:
        batch = dict(zip((i.name for i in spec.inputs), (v.to(group.device) for v in inputs), strict=True))
        outputs = forward(module, batch, spec, "fp32")
        alive()
        return {head.name: activated(head, outputs[head.name].float()) for head in spec.heads}

    module.eval()
    return edge_responses(spec, run, _regions(validation, scenes, window), window) if window else {}


def _largest(validation: Validation, scenes: Sequence[LabelledScene]) -> int:
    """Return the largest window that some scene holds; smaller scenes then do not count."""
    factor = validation.feeding.factor
    edges = [min(y.stop - y.start, x.stop - x.start) for scene in scenes for y, x in scene.rectangles]
    return largest_window(validation.spec, max(edges, default=0) // factor, WINDOW_PX)


def _regions(validation: Validation, scenes: Sequence[LabelledScene], window: int) -> Iterator[Region]:
    """Yield regions of all scenes, of each about as many."""
    spec, factor = validation.spec, validation.feeding.factor
    size = (window + displacement(spec, window)) * factor
    areas = [
        (scene, y, x)
        for scene in scenes
        for y, x in scene.rectangles
        if min(y.stop - y.start, x.stop - x.start) >= size
    ]
    for scene, rows, cols in areas:
        shape = ((rows.stop - rows.start) // factor, (cols.stop - cols.start) // factor)
        for y, x in places(spec, shape, window)[: max(1, REGIONS // len(areas))]:
            first = rows.start + y * factor, cols.start + x * factor
            place = Place(scene, *(slice(start, start + size) for start in first))
            patch = read_window(place, size)
            if patch["counted"].all():
                example = validation.feeding.example(patch)
                yield [example[i.name] for i in spec.inputs]


def _scores(
    module: nn.Module,
    validation: Validation,
    scenes: Sequence[LabelledScene],
    group: Group,
    alive: Callable[[], None],
) -> tuple[WindowScore, ...]:
    factor, found = validation.feeding.factor, list[WindowScore]()
    largest = max((min(scene.shape) // factor for scene in scenes), default=0)
    for window in WINDOWS_PX:
        if window > largest or window % validation.spec.step:
            continue
        scored = replace(validation, window_px=window * factor).scores(module, scenes, group, alive)
        metrics: tuple[Literal["mean_iou", "psnr_db"], ...] = ("mean_iou", "psnr_db")
        for metric in metrics:  # classes count where there are any
            scores = [head[metric] for head in scored.values() if head.get(metric) is not None]
            if scores:
                found.append(WindowScore(window=window, metric=metric, score=float(f"{scores[0]:.4g}")))
                break
    return tuple(found)
