"""Measuring on scenes how a model depends on the distance to a window's edge; see `rsmtl.models.margin`."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from rsmtl.config import Settings
from rsmtl.engine.network import forward
from rsmtl.engine.outputs import asked_heads
from rsmtl.errors import PlanError
from rsmtl.models.exported import ExportedModule
from rsmtl.models.margin import (
    EdgeResponse,
    Measured,
    Region,
    displacement,
    edge_responses,
    largest_window,
    places,
)
from rsmtl.models.model import Model
from rsmtl.models.spec import ModelSpec
from rsmtl.radiometry import Radiometry
from rsmtl.scene.align import align
from rsmtl.scene.read import read_window, sample_values
from rsmtl.scene.scene import Scene

WINDOW_PX = 512
"""Edge of the windows that are compared, where scene and model allow."""

PER_SCENE = 32
"""Regions of one scene that are measured at most; three windows run in each."""

QUICK = 4
"""Regions of a probe on a scene that is to be run."""


def measure(model: Model, scenes: Sequence[Scene], *, window: int = WINDOW_PX) -> Measured:
    """Measure the edge response of each head of a model on scenes.

    Parameters
    ----------
    model
        Its scores by window, if there are any, are kept.
    scenes
        As `open_scene` gives them; valid regions of each count.
    window
        Edge in reference pixels, made smaller where the scenes are, and that of an exported program where it is one.

    Raises
    ------
    SceneError
        If a scene does not fit the model.
    PlanError
        If no scene has a valid region that is large enough.
    """
    settings = Settings(heads=tuple(head.name for head in model.spec.heads))
    aligned = [align(scene, model.spec, "bilinear") for scene in scenes]
    edge = min(
        window_for(model, min(scene.inputs[model.spec.reference].geobox.shape), window) for scene in aligned
    )
    ready = [(scene, _radiometry(scene, model.spec)) for scene in aligned]
    regions = (region for one in ready for region in regions_of(model.spec, *one, edge, PER_SCENE))
    edges = edge_responses(model.spec, _runner(model, settings), regions, edge) if edge else {}
    if not edges:
        raise PlanError(
            "no scene has a valid region of 160 px or more, or as much as the model's divisor asks for, so no margin "
            "can be measured: give larger scenes"
        )
    return model.measured.model_copy(update={"edges": edges})


def probe_edges(
    model: Model, settings: Settings, scene: Scene, radiometry: Mapping[str, Radiometry]
) -> dict[str, EdgeResponse]:
    """Measure the edge response on a few regions of a scene that is to be run; nothing where none is large enough.

    It depends on scene, model and settings alone.
    """
    torch.set_num_threads(settings.torch_threads)
    edge = window_for(model, min(scene.inputs[model.spec.reference].geobox.shape), WINDOW_PX)
    regions = regions_of(model.spec, scene, radiometry, edge, QUICK)
    asked = model.spec.model_copy(update={"heads": asked_heads(model.spec, settings)})
    return edge_responses(asked, _runner(model, settings), regions, edge) if edge else {}


def window_for(model: Model, shortest_px: int, window: int) -> int:
    """Return the largest window that can be measured on a scene, `window` at most; 0 if none can."""
    if isinstance(model.module, ExportedModule):
        edge = model.module.card.window
        return edge if 0 < displacement(model.spec, edge) <= shortest_px - edge else 0
    return largest_window(model.spec, shortest_px, window)


def regions_of(
    spec: ModelSpec, scene: Scene, radiometry: Mapping[str, Radiometry], window: int, n: int
) -> Iterator[Region]:
    """Yield up to `n` valid regions of an aligned scene, spread over it; the same each time."""
    if not window:
        return
    size, found = window + displacement(spec, window), 0
    height, width = scene.inputs[spec.reference].geobox.shape
    for y, x in places(spec, (height, width), window):
        values, valid = read_window(scene, spec, slice(y, y + size), slice(x, x + size))
        if valid.all():
            yield [torch.from_numpy(radiometry[i.name].to_network(values[i.name])) for i in spec.inputs]
            found += 1
        if found == n:
            return


def _radiometry(scene: Scene, spec: ModelSpec) -> dict[str, Radiometry]:
    return {i.name: i.radiometry.fit(sample_values(scene.inputs[i.name])) for i in spec.inputs}


def _runner(model: Model, settings: Settings) -> "partial[dict[str, Tensor]]":
    return partial(_run, model, settings.model_copy(update={"tta": "none"}))


def _run(model: Model, settings: Settings, inputs: list[Tensor]) -> dict[str, Tensor]:
    """Run one window on the settings' device; a program that takes several at a time gets it several times."""
    n = model.module.card.batch if isinstance(model.module, ExportedModule) else 1
    stacked = [i.to(settings.device).expand(n, -1, -1, -1) for i in inputs]
    return {name: values[:1].cpu() for name, values in forward(model, settings, stacked).items()}
