"""Sizes that nobody named: window, overlap and chunk from model and scene alone, the batch from the device.

So a run can be taken up on other machines, and the next night's run finds the products of this one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, isqrt

import numpy as np

from rsmtl.blend import DTYPES
from rsmtl.config import RunSettings, Settings
from rsmtl.engine.executor import Executor
from rsmtl.engine.layout import Choice, ProbeEdges, check_sizes, choose_layout, wanted_margin
from rsmtl.engine.outputs import asked_heads
from rsmtl.engine.probe import Probe, probe
from rsmtl.lattice import Lattice
from rsmtl.models.exported import ExportedModule
from rsmtl.models.margin import EdgeResponse
from rsmtl.models.model import Model
from rsmtl.models.spec import HeadSpec, ModelSpec
from rsmtl.store.output import Output
from rsmtl.units import size

CHUNK_BYTES = 256 * 2**20
"""What the arrays of one chunk job may take where the chunk is chosen."""

CHUNKS_AT_LEAST = 16
"""A scene is cut into about this many chunks at least, so that a handful of workers share even a small one."""


@dataclass(frozen=True)
class Choices:
    """The settings of a run, and why those are as they are that were left open, by name."""

    settings: RunSettings
    why: dict[str, str]
    edges: Mapping[str, EdgeResponse]
    """By head: what is known of the model's edge response."""


def choose(
    settings: Settings,
    model: Model,
    shape: tuple[int, int],
    outputs: tuple[Output, ...],
    executor: Executor,
    default_chunk: int | None = None,
    probe_edges: ProbeEdges = dict,
) -> Choices:
    """Choose what settings leave open.

    Parameters
    ----------
    shape
        Height and width of the scene.
    executor
        On one of whose workers a device is probed, if there is need.
    default_chunk
        Taken in the place of a choice.
    probe_edges
        Measures the edge response on the scene, by head. Called only for a model of whose margin nothing is known.

    Raises
    ------
    PlanError
        If the window or the overlap does not suit the model, or the device is not there.
    ModelError, RunError
        If the model cannot run even one window.
    """
    spec, why = model.spec, dict[str, str]()

    def settle(name: str, given: int | None, choice: Callable[[], Choice]) -> int:
        if given is not None:
            return given
        chosen = choice()
        why[name] = chosen.why
        return chosen.value

    wanted = wanted_margin(model, settings, shape, probe_edges)
    laid_out = choose_layout(model, settings, shape, wanted)
    window = settle("window", settings.window, lambda: laid_out.window)
    overlap = settle("overlap", settings.overlap, lambda: laid_out.overlap)
    margin = settle("margin", settings.margin, lambda: laid_out.margin)
    check_sizes(spec, window, overlap, margin)
    strides = settle(
        "chunk",
        settings.chunk or default_chunk,
        lambda: choose_chunk(Lattice(*shape, window, overlap), spec, asked_heads(spec, settings), outputs),
    )
    sizes = settings.model_dump() | {"window": window, "overlap": overlap, "margin": margin, "chunk": strides}
    laid = Lattice(*shape, window, overlap, strides)
    most = len(laid.y.windows_of(0)) * len(laid.x.windows_of(0))
    tried = RunSettings(**sizes | {"chunk": 1, "batch": 1})
    sizes["batch"] = settle("batch", settings.batch, lambda: choose_batch(model, tried, most, executor))
    return Choices(RunSettings(**sizes), why, wanted.edges)


def choose_chunk(
    lattice: Lattice, spec: ModelSpec, heads: tuple[HeadSpec, ...], outputs: tuple[Output, ...]
) -> Choice:
    """Return strides per chunk: as many as the memory aimed at allows, fewer for scenes of few windows.

    It depends on scene, model and settings only, never on the workers at hand, so that a run can be resumed
    on other machines.
    """
    by_memory = (
        int((CHUNK_BYTES / region_bytes_per_px(spec, heads, outputs)) ** 0.5 - lattice.overlap)
        // lattice.y.stride
    )
    by_windows = isqrt(ceil(lattice.n_windows / CHUNKS_AT_LEAST))
    if by_windows <= 1:
        return Choice(1, "the scene has few windows")
    if by_memory < by_windows:
        return Choice(
            max(by_memory, 1), f"the arrays of a larger one would take more than {size(CHUNK_BYTES)}"
        )
    return Choice(by_windows, f"the scene has {CHUNKS_AT_LEAST} chunks or so, for workers to share")


def choose_batch(model: Model, settings: RunSettings, most: int, executor: Executor) -> Choice:
    """Return what a device does fastest; the windows of a chunk make batches of about one size.

    Parameters
    ----------
    most
        Windows of a chunk.
    """
    if isinstance(model.module, ExportedModule):
        return Choice(model.module.card.batch, "the program takes no other")
    if settings.device == "cpu":
        return Choice(1, "a CPU gains nothing from several windows at once")
    if most == 1:
        return Choice(1, "a chunk has one window")
    found: Probe = executor.submit(probe, model, settings).result()
    value = ceil(most / ceil(most / found.batch))
    tried = ", ".join(f"{rate:,.3g} by {n}" for n, rate in found.rates.items())
    return Choice(value, f"windows per second: {tried}; {found.n_fit} fit; a chunk has {most}")


def region_bytes_per_px(spec: ModelSpec, heads: tuple[HeadSpec, ...], outputs: tuple[Output, ...]) -> float:
    """Bytes that a chunk job holds per reference pixel: inputs as read and as the network sees them, sums, outputs."""
    inputs = sum(float(i.scale) ** 2 * i.channels * 8 for i in spec.inputs)
    sums = sum(float(h.scale) ** 2 * h.channels * DTYPES[h.kind].itemsize for h in heads)
    stored = sum(float(o.scale) ** 2 * len(o.bands) * np.dtype(o.dtype).itemsize for o in outputs)
    return inputs + sums * 2 + stored
