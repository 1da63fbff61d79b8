"""Sizes that nobody named: window, overlap and chunk from model and scene alone, the batch from the device.

So a run can be taken up on other machines, and the next night's run finds the products of this one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, isqrt, lcm

import numpy as np

from rsmtl.blend import DTYPES
from rsmtl.config import RunSettings, Settings
from rsmtl.engine.executor import Executor
from rsmtl.engine.forward_bytes import forward_bytes
from rsmtl.engine.outputs import asked_heads
from rsmtl.engine.probe import Probe, probe
from rsmtl.errors import PlanError
from rsmtl.lattice import Lattice, check_divisible
from rsmtl.models.exported import ExportedModule
from rsmtl.models.model import Model
from rsmtl.models.spec import HeadSpec, ModelSpec
from rsmtl.store.output import Output
from rsmtl.units import size

WINDOW_PX = 512
"""Edge of a window where nothing speaks for another."""

MIN_WINDOW_PX = 128
"""A smaller one is not chosen: networks see further than that."""

OVERLAPS = 8
"""An overlap is this part of a window: 1.31 times the model work of none."""

FORWARD_BYTES = 2 * 2**30
"""What the forward pass of one window may take where the window is chosen: half of what small workers have."""

CHUNK_BYTES = 256 * 2**20
"""What the arrays of one chunk job may take where the chunk is chosen."""

CHUNKS_AT_LEAST = 16
"""A scene is cut into about this many chunks at least, so that a handful of workers share even a small one."""


@dataclass(frozen=True)
class Choice:
    """A size, and a clause that says why it is this one."""

    value: int
    why: str


@dataclass(frozen=True)
class Choices:
    """The settings of a run, and why those are as they are that were left open, by name."""

    settings: RunSettings
    why: dict[str, str]


def choose(
    settings: Settings,
    model: Model,
    shape: tuple[int, int],
    outputs: tuple[Output, ...],
    executor: Executor,
    default_chunk: int | None = None,
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

    window = settle("window", settings.window, lambda: choose_window(model, settings, max(shape)))
    overlap = settle("overlap", settings.overlap, lambda: choose_overlap(spec, window))
    check_sizes(spec, window, overlap)
    strides = settle(
        "chunk",
        settings.chunk or default_chunk,
        lambda: choose_chunk(Lattice(*shape, window, overlap), spec, asked_heads(spec, settings), outputs),
    )
    sizes = settings.model_dump() | {"window": window, "overlap": overlap, "chunk": strides}
    laid = Lattice(*shape, window, overlap, strides)
    most = len(laid.y.windows_of(0)) * len(laid.x.windows_of(0))
    tried = RunSettings(**sizes | {"chunk": 1, "batch": 1})
    sizes["batch"] = settle("batch", settings.batch, lambda: choose_batch(model, tried, most, executor))
    return Choices(RunSettings(**sizes), why)


def choose_window(model: Model, settings: Settings, longest_px: int) -> Choice:
    """Return the usual window, a smaller one for a small scene or a greedy model, a larger one for a large margin."""
    spec = model.spec
    if isinstance(model.module, ExportedModule):
        return Choice(model.module.card.window, "the program takes no other")
    step = lcm(spec.divisor, _grid_step(spec))
    overlap = needed_overlap(spec) if settings.overlap is None else settings.overlap
    least = _up(max(MIN_WINDOW_PX, 2 * overlap), step)
    usual, whole = _up(WINDOW_PX, step), _up(longest_px, step)
    found = Choice(usual, f"the usual size, in multiples of {step} px" if step > 1 else "the usual size")
    if least > usual:
        found = Choice(least, f"twice the overlap of {ceil(overlap)} px")
    elif max(least, whole) < usual:
        found = Choice(max(least, whole), "one window holds the scene")
    while found.value > least and _forward_bytes(model, settings, found.value) > FORWARD_BYTES:
        needed = size(_forward_bytes(model, settings, found.value))
        why = f"the model would take {needed} for one of {found.value} px"
        found = Choice(max(least, _up(found.value // 2, step)), why)
    return found


def choose_overlap(spec: ModelSpec, window: int) -> Choice:
    """Return a part of the window, or more if the model's margin needs it."""
    step = _grid_step(spec)
    usual, needed = _up(Fraction(window, OVERLAPS), step), _up(needed_overlap(spec), step)
    if needed > usual:
        return Choice(needed, f"a margin of {spec.margin} px of every window does not count")
    return Choice(min(usual, window // 2 // step * step), f"1/{OVERLAPS} of the window")


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


def check_sizes(spec: ModelSpec, window: int, overlap: int) -> None:
    """Refuse a window or an overlap that the model or a grid of another scale cannot hold.

    Raises
    ------
    PlanError
        Naming the size, the divisor and the nearest sizes that fit.
    """
    check_divisible("window", window, spec.divisor, f"the model {spec.system!r} asks for it")
    for name, scale in _scales(spec).items():
        why = f"{name!r} lies on a grid of scale {scale}"
        check_divisible("window", window, scale.denominator, why)
        check_divisible("overlap", overlap, scale.denominator, why)
    needed = needed_overlap(spec)
    if overlap < needed:
        raise PlanError(
            f"the overlap must be at least {ceil(needed)} px, since a margin of {spec.margin} px of every window of "
            f"{spec.system!r} does not count, got {overlap} px: make the overlap larger"
        )


def needed_overlap(spec: ModelSpec) -> Fraction:
    """Return reference pixels that two windows must share for every pixel to lie within the margin of one."""
    return max(Fraction(2 * ceil(spec.margin * h.scale)) / h.scale for h in spec.heads)


def region_bytes_per_px(spec: ModelSpec, heads: tuple[HeadSpec, ...], outputs: tuple[Output, ...]) -> float:
    """Bytes that a chunk job holds per reference pixel: inputs as read and as the network sees them, sums, outputs."""
    inputs = sum(float(i.scale) ** 2 * i.channels * 8 for i in spec.inputs)
    sums = sum(float(h.scale) ** 2 * h.channels * DTYPES[h.kind].itemsize for h in heads)
    stored = sum(float(o.scale) ** 2 * len(o.bands) * np.dtype(o.dtype).itemsize for o in outputs)
    return inputs + sums * 2 + stored


def _scales(spec: ModelSpec) -> dict[str, Fraction]:
    return {i.name: i.scale for i in spec.inputs} | {h.name: h.scale for h in spec.heads}


def _grid_step(spec: ModelSpec) -> int:
    """Reference pixels whose multiples are whole pixels on every grid."""
    return lcm(*(scale.denominator for scale in _scales(spec).values()))


def lattice_step(spec: ModelSpec) -> int:
    """Return reference pixels at whose multiples windows begin, so that poolings and all grids fall alike in each."""
    return lcm(spec.divisor, _grid_step(spec))


def _up(px: Fraction | int, step: int) -> int:
    """Return the least multiple of a step that is not below a length."""
    return ceil(Fraction(px) / step) * step


def _forward_bytes(model: Model, settings: Settings, window: int) -> int:
    return forward_bytes(model, window, 1, settings.precision)
