"""What a plan costs, before anything runs: windows, bytes, memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import psutil

from rsmtl.blend import DTYPES, axis_weights
from rsmtl.config import Settings
from rsmtl.engine.choose import region_bytes_per_px
from rsmtl.engine.classical import ModelFinder
from rsmtl.engine.executor import Executor, SerialExecutor
from rsmtl.engine.forward_bytes import forward_bytes
from rsmtl.engine.outputs import asked_heads
from rsmtl.engine.plan import Plan
from rsmtl.engine.plan import plan as lay
from rsmtl.errors import PlanError, RsmtlError
from rsmtl.models.model import Model
from rsmtl.scene.open import Assets, SceneRef, open_scene
from rsmtl.scene.profiles import Offset


@dataclass(frozen=True)
class Cost:
    """Counts and projected bytes of a run; upper bounds, since windows without a valid pixel are not run."""

    height_px: int
    width_px: int
    window_px: int
    overlap_px: int
    margin_px: int
    batch: int
    """Windows per forward pass."""
    chunk: int
    """Strides per chunk."""
    why: Mapping[str, str]
    """Of the settings that were left open: why they were chosen so."""
    chunk_px: int
    n_chunks: int
    n_windows: int
    windows_per_px: float
    """Forward-passed pixels over the scene's pixels: what the overlap costs."""
    expected: Mapping[str, Mapping[str, float]]
    """By head: how far the product is expected to be from what the model says in the middle of a window (`difference`:
    the share of pixels whose class differs, or the mean absolute difference over the head's spread; `bias`: the mean
    difference over the spread), and the `floor` of that between two such windows. Empty where nothing was measured."""
    read_bytes: int
    """Pixels read by all chunk jobs, as stored; 1 + the share that borders read twice."""
    written_bytes: int
    """All outputs, uncompressed."""
    border_bytes: int
    """Strips that travel between chunks."""
    worker_bytes: int
    """Projected peak of a worker that runs one job at a time."""
    notes: tuple[str, ...]
    """What whoever asked should know of the scene, a sentence each."""


def cost(plan: Plan) -> Cost:
    """Project what a plan costs."""
    lattice, spec = plan.lattice, plan.model.spec
    regions = [_px(lattice.region(chunk)) for chunk in plan.chunks]
    n_px = lattice.height * lattice.width
    borders = sum(
        _px(spans)
        for chunk in plan.chunks
        for area, spans in lattice.areas(chunk).items()
        if area != ("core", "core")
    )
    per_px_in = sum(
        float(i.scale) ** 2 * i.channels * np.dtype(plan.scene.inputs[i.name].storage.dtype).itemsize
        for i in spec.inputs
    )
    per_px_out = sum(float(o.scale) ** 2 * len(o.bands) * np.dtype(o.dtype).itemsize for o in plan.outputs)
    per_px_sums = sum(float(h.scale) ** 2 * h.channels * DTYPES[h.kind].itemsize for h in plan.heads)
    return Cost(
        height_px=lattice.height,
        width_px=lattice.width,
        window_px=lattice.window,
        overlap_px=lattice.overlap,
        margin_px=plan.settings.margin,
        batch=plan.settings.batch,
        chunk=plan.settings.chunk,
        why=plan.why,
        chunk_px=lattice.y.chunk_px,
        n_chunks=len(plan.chunks),
        n_windows=lattice.n_windows,
        windows_per_px=lattice.n_windows * lattice.window**2 / n_px,
        expected=_expected(plan),
        read_bytes=int(sum(regions) * per_px_in),
        written_bytes=int(n_px * per_px_out),
        border_bytes=int(borders * per_px_sums),
        worker_bytes=_worker_bytes(plan, max(regions)),
        notes=plan.notes,
    )


def costs_of(
    refs: Sequence[SceneRef],
    assets: Assets | None,
    find_model: ModelFinder,
    settings: Settings,
    offset: Offset = "item",
    executor: Executor | None = None,
    measure: bool = False,
    any_gsd: bool = False,
    allow_no_crs: bool = False,
) -> list[tuple[str, Cost | RsmtlError]]:
    """Open scenes and project what each costs: its id and the figures, or what is wrong with it.

    `measure` and `any_gsd` as in `plan`, `allow_no_crs` as in `open_scene`.
    """
    found: list[tuple[str, Cost | RsmtlError]] = []
    executor = executor or SerialExecutor()
    for ref in refs:
        name = ref.id
        try:
            scene = open_scene(ref.source, assets, offset, allow_no_crs=allow_no_crs)
            name = scene.id
            model = find_model(scene, settings, executor)
            laid = lay(scene, model, settings, measure=measure, any_gsd=any_gsd, executor=executor)
            found.append((name, cost(laid)))
        except RsmtlError as error:
            found.append((name, error))
    return found


IMPORTED_BYTES = 600 * 2**20
"""At most what a process takes that has imported everything and computed a little (410 to 490 MiB on Linux). What else
a notebook holds, a worker has not."""


def check_fits(projected: Cost, executor: Executor) -> None:
    """Refuse a plan whose jobs need more memory than a worker has.

    Raises
    ------
    PlanError
        With both figures and what to change.
    """
    if projected.worker_bytes > executor.slot_bytes:
        raise PlanError(
            f"one job is projected to need {projected.worker_bytes / 2**20:,.0f} MiB and a worker has "
            f"{executor.slot_bytes / 2**20:,.0f} MiB for it: use a smaller chunk, batch or window, or fewer workers "
            "with more memory each"
        )


def _worker_bytes(plan: Plan, region_px: int) -> int:
    """What a worker imports, which this process has too, the weights, a chunk's arrays, and a forward pass.

    That of a GPU takes none of a worker's memory.
    """
    model, settings = plan.model, plan.settings
    needed = min(psutil.Process().memory_info().rss, IMPORTED_BYTES) + _weights_bytes(model)
    needed += region_px * region_bytes_per_px(model.spec, plan.heads, plan.outputs)
    if settings.device == "cpu":
        needed += forward_bytes(model, settings.window, settings.batch, settings.precision)
    return int(needed)


@lru_cache(maxsize=2)
def _weights_bytes(model: Model) -> int:
    return sum(t.numel() * t.element_size() for t in model.module.state_dict().values())


def _expected(plan: Plan) -> dict[str, dict[str, float]]:
    """Project the deviation of each head whose edge response is known; none where one window holds the scene."""
    settings, found = plan.settings, dict[str, dict[str, float]]()
    if plan.lattice.n_windows == 1:
        return found
    weights = axis_weights(settings.window, settings.overlap, settings.margin, False, False, settings.blend)
    for head in asked_heads(plan.model.spec, settings):
        if head.name in plan.edges:
            edge = plan.edges[head.name]
            difference, bias = edge.expected(weights)
            found[head.name] = {
                "difference": difference,
                "bias": bias,
                "floor": edge.floor / (edge.spread or 1.0),
            }
    return found


def _px(spans: Sequence[Any]) -> int:
    return int(spans[0].size * spans[1].size)
