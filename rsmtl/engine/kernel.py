"""The engine's two jobs, as plain functions: run a chunk's windows; finish a chunk from what was run.

Both are called alike by the serial path, by threads and by Dask, for lazy arrays and for stored products.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from math import ceil
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rsmtl import blend
from rsmtl.engine.batch import batches
from rsmtl.engine.device import computing, lane, to_device, to_host
from rsmtl.engine.finalise import finalise_classes, finalise_continuous
from rsmtl.engine.network import forward
from rsmtl.engine.plan import Plan
from rsmtl.errors import ModelError
from rsmtl.lattice import Area, Chunk, Lattice, Span, Window
from rsmtl.models.spec import HeadSpec
from rsmtl.radiometry import Radiometry
from rsmtl.scene.read import read_window

Array = NDArray[Any]


@dataclass(frozen=True)
class Partial:
    """What the windows of one chunk add up to."""

    core: dict[str, Array]
    """By output, `(bands, H, W)` stored values of the core; empty if the chunk has none."""
    strips: dict[tuple[str, Area], Array]
    """By head and area, `(C, H, W)` sums in steps, NaN where not valid, of every area but the core."""
    n_run: int
    n_skipped: int
    """Windows without a valid pixel."""
    seconds: dict[str, float]
    """By stage."""


@dataclass
class Clock:
    """Seconds spent by stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


@torch.inference_mode()
def run_chunk(plan: Plan, chunk: Chunk) -> Partial:
    """Run the windows that a chunk owns, each once, and no other.

    Sets the calling thread's number of torch threads to the settings' and leaves it so: bits depend on it.
    """
    if torch.get_num_threads() != plan.settings.torch_threads:
        torch.set_num_threads(plan.settings.torch_threads)
    clock, region = Clock(), plan.lattice.region(chunk)
    with clock.stage("read"):
        values, valid = read_window(plan.scene, plan.model.spec, region[0].slice, region[1].slice)
        inputs = [
            (network_values(plan, name, values.pop(name)), i.scale) for name, i in plan.scene.inputs.items()
        ]
    owned = plan.lattice.windows_of(chunk)
    windows = [w for w in owned if valid[w.y.within(region[0]).slice, w.x.within(region[1]).slice].any()]
    if not windows:
        with clock.stage("finalise"):
            return Partial(*_nothing(plan, chunk), 0, len(owned), clock.seconds)
    device = plan.settings.device
    with lane(device):
        inputs = [(to_device(values, device), scale) for values, scale in inputs]
        canvases = {head.name: _new_canvas(plan, head, region) for head in plan.heads}
        outside = {head.name: _new_outside(plan, head, region) for head in plan.heads}
        with computing(device):
            for members, stacked in batches(windows, inputs, region, plan.settings.batch):
                with clock.stage("model"):
                    answers = forward(plan.model, plan.settings, stacked)
                with clock.stage("blend"):
                    for head in plan.heads:
                        sums = canvases[head.name], outside[head.name]
                        for window, values_of_window in zip(members, answers[head.name], strict=False):
                            _add_window(plan, head, sums, values_of_window, window, region)
        with clock.stage("finalise"):
            _refuse_outside(plan, outside, valid)
            core, strips = _split(plan, chunk, canvases, valid)
    return Partial(core, strips, len(windows), len(owned) - len(windows), clock.seconds)


def finish_area(plan: Plan, head: HeadSpec, sums: list[Array]) -> dict[str, Array]:
    """Add what several chunks gave to one area, and turn it into stored values by output name."""
    total = sum((torch.from_numpy(s) for s in sums[1:]), start=torch.from_numpy(sums[0]))
    return _finalise(plan, head, total)


def finish_chunk(
    plan: Plan, chunk: Chunk, core: dict[str, Array], strip: Callable[[Chunk, str, Area], Array]
) -> dict[str, Array]:
    """Return the whole chunk, `(bands, H, W)` by output name.

    Parameters
    ----------
    core
        The chunk's own `Partial.core`.
    strip
        Fetches `Partial.strips[head, area]` of a chunk.
    """
    y, x = plan.lattice.y.chunk_span(chunk[0]), plan.lattice.x.chunk_span(chunk[1])
    whole: dict[str, Array] = {}
    for output in plan.outputs:
        shape = (len(output.bands), y.scaled(output.scale).size, x.scaled(output.scale).size)
        whole[output.name] = np.empty(shape, output.dtype)
    for area, spans in plan.lattice.own_areas(chunk).items():
        for head in plan.heads:
            if area == ("core", "core"):
                pieces = core
            else:
                sources = plan.lattice.sources(chunk, area)
                pieces = finish_area(plan, head, [strip(source, head.name, its) for source, its in sources])
            rows, cols = _in_region(spans, (y, x), head.scale)
            for output in plan.outputs_of(head.name):
                whole[output.name][:, rows, cols] = pieces[output.name]
    return whole


def network_values(plan: Plan, name: str, values: NDArray[np.float32]) -> Tensor:
    """Return physical values `(C, H, W)` of an input as the network sees them; 0 where they are not valid."""
    network = torch.from_numpy(plan.radiometry[name].to_network(values))
    return network.nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)


def _new_canvas(plan: Plan, head: HeadSpec, region: tuple[Span, Span]) -> Tensor:
    height, width = (span.scaled(head.scale).size for span in region)
    return blend.new_canvas(head.kind, (head.channels, height, width), plan.settings.device)


def _new_outside(plan: Plan, head: HeadSpec, region: tuple[Span, Span]) -> Tensor | None:
    """Where a continuous head will have had a value that is not blended exactly, if that is an error."""
    if head.kind == "classes" or not plan.exact[head.name].strict:
        return None
    height, width = (span.scaled(head.scale).size for span in region)
    return torch.zeros((height, width), dtype=torch.bool, device=plan.settings.device)


def _add_window(
    plan: Plan,
    head: HeadSpec,
    sums: tuple[Tensor, Tensor | None],
    values: Tensor,
    window: Window,
    region: tuple[Span, Span],
) -> None:
    rows, cols = _in_region((window.y, window.x), region, head.scale)
    target = sums[0][:, rows, cols]  # shorter than the window where it reaches past the scene
    outside = None if sums[1] is None else sums[1][rows, cols]
    height, width = target.shape[1:]
    sizes = _scaled_sizes(plan, head.scale)
    look = plan.settings.blend, plan.steps(head), target.device
    weights = _window_weights(*sizes, *_edges(plan.lattice, window), *look)
    blend.add(
        target, values[:, :height, :width], weights[:height, :width], plan.exact.get(head.name), outside
    )


def _scaled_sizes(plan: Plan, scale: Fraction) -> tuple[int, int, int]:
    """Window, overlap and margin on a head's grid; a margin that ends within a pixel takes the whole pixel."""
    window, overlap, margin = (
        px * scale for px in (plan.lattice.window, plan.lattice.overlap, plan.settings.margin)
    )
    return int(window), int(overlap), ceil(margin)


def _edges(lattice: Lattice, window: Window) -> tuple[bool, bool, bool, bool]:
    """Whether the window is the first and the last of its column and of its row."""
    return (
        window.row == 0,
        window.row == lattice.y.n_windows - 1,
        window.col == 0,
        window.col == lattice.x.n_windows - 1,
    )


@lru_cache(maxsize=32)
def _window_weights(
    window_px: int,
    overlap_px: int,
    margin_px: int,
    top: bool,
    bottom: bool,
    left: bool,
    right: bool,
    shape: blend.Shape,
    steps: float,
    device: torch.device,
) -> Tensor:
    y = blend.axis_weights(window_px, overlap_px, margin_px, top, bottom, shape)
    x = blend.axis_weights(window_px, overlap_px, margin_px, left, right, shape)
    return blend.in_steps(y[:, None] * x[None, :], steps).to(device)


def _refuse_outside(plan: Plan, outside: dict[str, Tensor | None], valid: NDArray[np.bool_]) -> None:
    """Refuse values that are not blended exactly; those of pixels that are not valid are nobody's."""
    for head in plan.heads:
        found = outside[head.name]
        if found is None or not found.any():
            continue
        if (to_host(found).numpy() & valid_at(valid, head.scale)).any():
            remedy = (
                f"give the model a radiometry of input {head.like!r} whose `low` and `high` are about those of its "
                "values, or name the file's nodata value if this is one"
                if head.like
                else "give `values` of its spec a greater `limit`"
            )
            raise ModelError(
                f"head {head.name!r} gave a value beyond ±{plan.exact[head.name].limit:,.6g}, up to which it can be "
                f"blended: {remedy}"
            )


def _split(
    plan: Plan, chunk: Chunk, canvases: dict[str, Tensor], valid: NDArray[np.bool_]
) -> tuple[dict[str, Array], dict[tuple[str, Area], Array]]:
    """Cut the canvases into the finished core and the strips that travel."""
    region, areas = plan.lattice.region(chunk), plan.lattice.areas(chunk)
    core: dict[str, Array] = {}
    strips: dict[tuple[str, Area], Array] = {}
    for head in plan.heads:
        canvas = canvases.pop(head.name)
        if not valid.all():
            invalid = torch.from_numpy(~valid_at(valid, head.scale))
            canvas.masked_fill_(to_device(invalid, plan.settings.device), torch.nan)
        for area, spans in areas.items():
            sums = canvas[:, *_in_region(spans, region, head.scale)]
            if area == ("core", "core"):
                core |= _finalise(plan, head, sums)
            else:
                strips[head.name, area] = to_host(sums).numpy().copy()
    return core, strips


def _nothing(plan: Plan, chunk: Chunk) -> tuple[dict[str, Array], dict[tuple[str, Area], Array]]:
    """What `_split` gives where no pixel is valid, with no canvas: one pixel is finished, and is as all others."""
    core: dict[str, Array] = {}
    strips: dict[tuple[str, Area], Array] = {}
    for head in plan.heads:
        pixel = blend.new_canvas(head.kind, (head.channels, 1, 1), "cpu").fill_(torch.nan)
        for area, spans in plan.lattice.areas(chunk).items():
            height, width = (span.scaled(head.scale).size for span in spans)
            if area == ("core", "core"):
                finished = _finalise(plan, head, pixel)
                core |= {name: values.repeat(height, 1).repeat(width, 2) for name, values in finished.items()}
            else:
                strips[head.name, area] = pixel.numpy().repeat(height, 1).repeat(width, 2)
    return core, strips


def valid_at(valid: NDArray[np.bool_], scale: Fraction) -> NDArray[np.bool_]:
    """Return the valid mask on a grid with `scale` pixels per reference pixel.

    A pixel is valid if every reference pixel it touches is.
    """
    if scale == 1:
        return valid
    finer = valid.repeat(scale.numerator, axis=0).repeat(scale.numerator, axis=1)
    step = scale.denominator
    starts = [np.arange(0, length, step) for length in finer.shape]
    return np.logical_and.reduceat(np.logical_and.reduceat(finer, starts[0], axis=0), starts[1], axis=1)


def _finalise(plan: Plan, head: HeadSpec, sums: Tensor) -> dict[str, Array]:
    outputs = plan.outputs_of(head.name)
    if head.kind == "classes":
        return dict(finalise_classes(head, outputs, sums))
    radiometry = plan.radiometry[head.like] if head.like else Radiometry()
    return {o.name: finalise_continuous(o, radiometry, sums, plan.steps(head)) for o in outputs}


def _in_region(spans: tuple[Span, Span], region: tuple[Span, Span], scale: Fraction) -> tuple[slice, slice]:
    """Slices of two spans in an array that covers the region, both at a head's scale."""
    rows, cols = (s.scaled(scale).within(r.scaled(scale)).slice for s, r in zip(spans, region, strict=True))
    return rows, cols
