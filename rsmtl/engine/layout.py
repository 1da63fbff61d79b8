"""Window, overlap and margin where nobody named them: from model and scene alone, never from the workers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, lcm, log2

from rsmtl.config import Settings
from rsmtl.engine.forward_bytes import forward_bytes
from rsmtl.engine.outputs import asked_heads
from rsmtl.engine.receptive import exact_margin
from rsmtl.errors import PlanError
from rsmtl.lattice import Lattice, check_divisible
from rsmtl.models.exported import ExportedModule
from rsmtl.models.margin import EdgeResponse, Measured
from rsmtl.models.model import Model
from rsmtl.models.spec import ModelSpec
from rsmtl.units import size

WINDOW_PX = 512
"""Edge of a window where nothing speaks for another."""

MIN_WINDOW_PX = 128
"""A smaller one is not chosen: networks see further than that."""

MAX_WINDOW_PX = 2048
"""A larger one is not chosen: it saves next to no work."""

WINDOW_STEP_PX = 32
"""Windows that are compared are multiples of it at least."""

OVERLAPS = 8
"""An overlap is this part of a window where there is no margin: 1.31 times the model work of none."""

WORK = 1.5
"""A margin may cost so many times the work of none."""

ALIKE = 1.05
"""Of windows whose work differs by no more than this factor the smallest is taken."""

LEAST_WINDOWS = 4
"""Windows that are compared leave so many to share, unless the usual size does not either."""

SCORES = {"mean_iou": 0.01, "psnr_db": 0.2}
"""A window may score so much less than the best one, by metric."""

FORWARD_BYTES = 2 * 2**30
"""What the forward pass of one window may take where the window is chosen: half of what small workers have."""

ProbeEdges = Callable[[], dict[str, EdgeResponse]]


@dataclass(frozen=True)
class Choice:
    """A size, and a clause that says why it is this one."""

    value: int
    why: str


@dataclass(frozen=True)
class Wanted:
    """The margin that a run should have, in reference pixels."""

    px: int
    why: str
    least: int = 0
    """What it must have, since it was asked for or is declared."""
    blend: bool = True
    """Whether windows need more overlap than twice the margin, to blend over."""
    edges: Mapping[str, EdgeResponse] = field(default_factory=dict)
    """By head, as far as they are known."""


@dataclass(frozen=True)
class Layout:
    """What was chosen; of what was given, the same."""

    window: Choice
    overlap: Choice
    margin: Choice


def wanted_margin(
    model: Model, settings: Settings, shape: tuple[int, int], probe_edges: ProbeEdges
) -> Wanted:
    """Return the margin of the heads that are asked for: given, declared, measured before, or by a probe of the scene.

    Raises
    ------
    PlanError
        As `exact_margin`, or if a margin is given besides `exact`.
    """
    measured = dict(model.measured.edges)
    if settings.exact:
        px = exact_margin(
            model, Settings(precision=settings.precision, device=settings.device, heads=settings.heads)
        )
        if settings.margin is not None and settings.margin < px:  # that of a run which is taken up is no less
            raise PlanError(
                f"--exact needs the model's receptive field of {px} px as margin, got {settings.margin} px: leave "
                "--margin out"
            )
        px = settings.margin or px
        return Wanted(px, "the receptive field of the model", least=px, blend=False)
    if settings.margin is not None:
        return Wanted(settings.margin, "", least=settings.margin, edges=measured)
    heads = asked_heads(model.spec, settings)
    known = {h.name: h.margin for h in heads if h.margin is not None}
    declared = max((px for name, px in known.items() if name not in measured), default=0)
    unknown = [h.name for h in heads if h.name not in known]
    how = "measured when the model was made"
    if unknown and settings.overlap is None and max(shape) > WINDOW_PX:
        found = probe_edges()
        if not found:
            why = "no valid part of the scene is large enough to measure it, and the model brings none"
            return Wanted(declared, why, least=declared, blend=False)
        how = "measured on a few places of this scene, as the model brings none"
        known |= {name: found[name].margin for name in unknown if name in found}
        measured |= {name: found[name] for name in unknown if name in found}
    px = max(known.values(), default=0)
    if px <= declared:
        why = (
            "the model declares it"
            if declared
            else "no head needs one"
            if known
            else "none is known of the model"
        )
        return Wanted(declared, why, least=declared, blend=False, edges=measured)
    most = max(known, key=lambda name: known[name])
    return Wanted(px, f"{how}; head {most!r} needs the most", least=declared, edges=measured)


def choose_layout(model: Model, settings: Settings, shape: tuple[int, int], wanted: Wanted) -> Layout:
    """Choose window, overlap and margin.

    A margin costs work. It is given by larger windows first; what then costs more than `WORK` times the work of no
    margin is left out, unless it was asked for.
    """
    spec = model.spec
    usual = choose_window(model, settings, max(shape), wanted.least)
    if settings.overlap is not None:
        if settings.exact:
            check_divisible(
                "overlap", settings.overlap, spec.step, "windows of --exact begin where poolings fall alike"
            )
        ramp = usual.value // OVERLAPS if wanted.blend else 0
        room = max(0, int(settings.overlap - ramp) // 2)
        margin = Choice(wanted.px, wanted.why)
        if wanted.px > max(room, wanted.least):
            margin = Choice(
                max(room, wanted.least),
                f"what the overlap leaves beside what is blended over; {wanted.px} px are wanted",
            )
        return Layout(usual, Choice(settings.overlap, ""), margin)
    plain = Layout(
        usual,
        choose_overlap(spec, usual.value, wanted.least),
        Choice(wanted.least, wanted.why),
    )
    if not wanted.px or not (wanted.blend or settings.exact):
        return plain
    if settings.margin is None and max(shape) <= (one := choose_window(model, settings, max(shape))).value:
        return Layout(one, choose_overlap(spec, one.value), Choice(0, "one window holds the scene"))
    limit = float("inf")
    if settings.fidelity == "standard" and wanted.px > wanted.least:
        limit = WORK * _work(shape, usual.value, choose_overlap(spec, usual.value).value)
    found = _search(model, settings, shape, wanted, limit, usual)
    if found is None and settings.exact:
        overlap = _up(needed_overlap(spec, wanted.least), spec.step)
        return Layout(usual, Choice(overlap, "twice the margin"), plain.margin)
    return found or plain


def _search(
    model: Model, settings: Settings, shape: tuple[int, int], wanted: Wanted, limit: float, usual: Choice
) -> Layout | None:
    """Return the least work with the largest margin that the limit allows; None if no window does."""
    spec = model.spec
    windows = _windows(model, settings, shape, usual.value)
    for margin in range(wanted.px, wanted.least - 1, -1):
        options = []
        for window in windows:
            overlap = _overlap_for(spec, settings, window, margin, wanted.blend)
            if 2 * overlap <= window and (work := _work(shape, window, overlap)) <= limit:
                options.append((window, overlap, work))
        if options:
            least = min(work for *_, work in options)
            window, overlap, _ = next(one for one in sorted(options) if one[2] <= ALIKE * least)
            return Layout(
                Choice(window, f"the least work for a margin of {margin} px"),
                Choice(
                    overlap,
                    "twice the margin, and what windows blend over" if wanted.blend else "twice the margin",
                ),
                Choice(margin, wanted.why if margin == wanted.px else _less(wanted, margin)),
            )
    return None


def _less(wanted: Wanted, margin: int) -> str:
    allowed = f"what {WORK} times the work of no margin allows"
    return f"{allowed}; {wanted.px} px are {wanted.why}: `--fidelity high` takes them"


def _windows(model: Model, settings: Settings, shape: tuple[int, int], usual: int) -> list[int]:
    """Return the windows to compare: those that memory allows, that score well, and that leave some to share."""
    if settings.window is not None or isinstance(model.module, ExportedModule):
        return [usual]
    step = lcm(model.spec.step, WINDOW_STEP_PX)
    per_px = _forward_bytes(model, settings, usual) / usual**2
    largest = min(MAX_WINDOW_PX, max(usual, int((FORWARD_BYTES / per_px) ** 0.5)))
    while largest > usual and _forward_bytes(model, settings, largest // step * step) > FORWARD_BYTES:
        largest -= step
    least = min(LEAST_WINDOWS, Lattice(*shape, usual, 0).n_windows)
    return [
        window
        for window in sorted({usual, *range(_up(MIN_WINDOW_PX, step), largest + 1, step)})
        if Lattice(*shape, window, 0).n_windows >= least and _scores_well(model.measured, window)
    ]


def _scores_well(measured: Measured, window: int) -> bool:
    """Whether a model is about as good with a window as with the best one, by the nearest that was scored."""
    if not measured.windows:
        return True
    nearest = min(measured.windows, key=lambda one: abs(log2(one.window / window)))
    best = max(one.score for one in measured.windows if one.metric == nearest.metric)
    return nearest.score >= best - SCORES[nearest.metric]


def _overlap_for(spec: ModelSpec, settings: Settings, window: int, margin: int, blend: bool) -> int:
    ramp = window // (4 if settings.fidelity == "high" else OVERLAPS) if blend else 0
    least = _up(needed_overlap(spec, margin), spec.step)
    wanted = _up(needed_overlap(spec, margin) + ramp, spec.step)
    most = window // 2 // spec.step * spec.step
    return max(least, min(wanted, most)) if settings.fidelity == "high" else wanted


def _work(shape: tuple[int, int], window: int, overlap: int) -> float:
    """Pixels that go through the model."""
    return Lattice(*shape, window, overlap).n_windows * float(window) ** 2


def choose_window(model: Model, settings: Settings, longest_px: int, margin: int = 0) -> Choice:
    """Return the usual window, a smaller one for a small scene or a greedy model, a larger one for a large margin.

    Parameters
    ----------
    margin
        What the window must have.
    """
    if settings.window is not None:
        return Choice(settings.window, "")
    spec = model.spec
    if isinstance(model.module, ExportedModule):
        return Choice(model.module.card.window, "the program takes no other")
    step = spec.step
    overlap = (
        _up(needed_overlap(spec, margin), spec.grid_step) if settings.overlap is None else settings.overlap
    )
    least = _up(max(MIN_WINDOW_PX, 2 * overlap), step)
    usual, whole = _up(WINDOW_PX, step), _up(longest_px, step)
    found = Choice(usual, f"the usual size, in multiples of {step} px" if step > 1 else "the usual size")
    if least > usual:
        found = Choice(least, f"twice the overlap of {overlap} px")
    elif max(least, whole) < usual:
        found = Choice(max(least, whole), "one window holds the scene")
    while found.value > least and _forward_bytes(model, settings, found.value) > FORWARD_BYTES:
        needed = size(_forward_bytes(model, settings, found.value))
        why = f"the model would take {needed} for one of {found.value} px"
        found = Choice(max(least, _up(found.value // 2, step)), why)
    return found


def choose_overlap(spec: ModelSpec, window: int, margin: int = 0) -> Choice:
    """Return a part of the window, or more if the margin needs it."""
    step = spec.grid_step
    usual, needed = _up(Fraction(window, OVERLAPS), step), _up(needed_overlap(spec, margin), step)
    if needed > usual:
        return Choice(needed, f"a margin of {margin} px of every window does not count")
    return Choice(min(usual, window // 2 // step * step), f"1/{OVERLAPS} of the window")


def check_sizes(spec: ModelSpec, window: int, overlap: int, margin: int = 0) -> None:
    """Refuse a window, an overlap or a margin that the model or a grid of another scale cannot hold.

    Raises
    ------
    PlanError
        Naming the size, the divisor and the nearest sizes that fit.
    """
    check_divisible("window", window, spec.divisor, f"the model {spec.system!r} asks for it")
    scales = {i.name: i.scale for i in spec.inputs} | {h.name: h.scale for h in spec.heads}
    for name, scale in scales.items():
        why = f"{name!r} lies on a grid of scale {scale}"
        check_divisible("window", window, scale.denominator, why)
        check_divisible("overlap", overlap, scale.denominator, why)
    needed = needed_overlap(spec, margin)
    if overlap < needed:
        raise PlanError(
            f"the overlap must be at least {ceil(needed)} px, since a margin of {margin} px of every window of "
            f"{spec.system!r} does not count, got {overlap} px: make the overlap larger, or give a smaller --margin"
        )


def needed_overlap(spec: ModelSpec, margin: int) -> Fraction:
    """Return reference pixels that two windows must share for every pixel to lie within the margin of one."""
    return max(Fraction(2 * ceil(margin * h.scale)) / h.scale for h in spec.heads)


def _up(px: Fraction | int, step: int) -> int:
    """Return the least multiple of a step that is not below a length."""
    return ceil(Fraction(px) / step) * step


def _forward_bytes(model: Model, settings: Settings, window: int) -> int:
    return forward_bytes(model, window, 1, settings.precision)
