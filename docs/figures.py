"""Figures of the explanation pages, drawn from what the engine itself says of windows, weights, order and layers.

Each is drawn twice, for light and for dark pages, and narrow enough to be read on a phone.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import rioxarray  # noqa: F401  # gives arrays their `.rio`
import xarray as xr
from affine import Affine
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

import rsmtl
from rsmtl.blend import Shape, axis_weights
from rsmtl.engine.drain import even_order
from rsmtl.engine.jobs import finish_job, run_job
from rsmtl.engine.plan import Plan, plan
from rsmtl.lattice import Axis, Chunk, Lattice, Span
from rsmtl.scene.arrays import scene_from_arrays
from rsmtl.store.folder import ITEM_NAME, LEDGER_NAME, STORE_NAME

ROOT = Path(__file__).parents[1]
WIDTH_IN = 4.4
ROW_IN = 0.4
"""Height of a layer."""

LATTICE = Lattice(height=940, width=1290, window=256, overlap=64, strides_per_chunk=2)
"""What most figures show: so small that each window can be seen."""


@dataclass(frozen=True)
class Theme:
    """Colours of one kind of page; the page itself shows through."""

    name: str
    ink: str
    faint: str
    paper: str


THEMES = (Theme("light", "#1f2328", "#6a737d", "#ffffff"), Theme("dark", "#d6dbe0", "#949da6", "#131416"))

FILLS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
"""Told apart also by those who do not see all colours, on light and on dark pages."""


def draw_all(folder: Path) -> None:
    """Draw every figure for every kind of page: `folder/<figure>-<theme>.svg`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in FIGURES.items():
        for theme in THEMES:
            style: Any = {"font.size": 8.5, "text.color": theme.ink, "svg.hashsalt": name}
            with matplotlib.rc_context(style):
                path = folder / f"{name}-{theme.name}.svg"
                draw(theme).savefig(path, transparent=True, metadata={"Date": None})


def windows(theme: Theme, lattice: Lattice = LATTICE) -> Figure:
    """Draw the windows of a scene, each in the colour of the chunk that owns it."""
    x = lattice.x
    first, second = x.window_span(0), x.window_span(1)
    measures = [
        (first, f"window {first.size} px"),
        (Span(first.start, second.start), f"stride {x.stride} px"),
        (Span(second.start, first.stop), f"overlap {lattice.overlap} px"),
        (x.chunk_span(0), f"chunk {x.chunk_px} px"),
    ]
    step = 0.075 * lattice.height
    view = (Span(-int(step * 4.7), _reach(lattice.y)), Span(-8, _reach(x)))
    figure, axes = _map(view)
    for chunk in lattice.chunks():
        own = lattice.y.chunk_span(chunk[0]), x.chunk_span(chunk[1])
        _rectangle(axes, *own, facecolor=_colour(chunk), alpha=0.28)
        for window in lattice.windows_of(chunk):
            _rectangle(axes, window.y, window.x, edgecolor=_colour(chunk), linewidth=1.1)
    _rectangle(axes, Span(0, lattice.height), Span(0, lattice.width), edgecolor=theme.ink, linewidth=1.6)
    _rectangle(axes, lattice.y.window_span(0), first, edgecolor=theme.ink, linewidth=2.4)
    for level, (span, label) in enumerate(measures, start=1):
        _measure(axes, span, -level * step, label, theme)
    return figure


def borders(theme: Theme, lattice: Lattice = LATTICE, chunk: Chunk = (1, 1)) -> Figure:
    """Draw which chunks' windows touch which pixels of a chunk, and which sums travel."""
    y, x = (axis.region(index) for axis, index in zip((lattice.y, lattice.x), chunk, strict=True))
    past = lattice.x.chunk_px // 3
    view = Span(y.start - past, y.stop + past), Span(x.start - past, x.stop + past)
    figure, axes = _map(view)
    for other in lattice.chunks():
        if lattice.owns_windows(other):
            _rectangle(axes, *lattice.region(other), facecolor=_colour(other), alpha=0.3)
        own = lattice.y.chunk_span(other[0]), lattice.x.chunk_span(other[1])
        _rectangle(axes, *own, edgecolor=theme.faint, linewidth=0.8)
    for area, (rows, cols) in lattice.own_areas(chunk).items():
        _rectangle(axes, rows, cols, edgecolor=theme.ink, linewidth=0.6, linestyle=":")
        n_sources = len(lattice.sources(chunk, area))
        text = "core: its own\nwindows alone" if n_sources == 1 else str(n_sources)
        x_px, y_px = _centre(rows, cols)
        aside = lattice.overlap * (area.count("core") == 1)  # where no arrow is
        shift = (aside, 0) if cols.size > rows.size else (0, aside)
        axes.text(x_px + shift[0], y_px + shift[1], text, ha="center", va="center", weight="bold")
    own = lattice.y.chunk_span(chunk[0]), lattice.x.chunk_span(chunk[1])
    _rectangle(axes, *own, edgecolor=theme.ink, linewidth=1.8)
    for giver, taker in _travels(lattice, chunk):
        _arrow(axes, _edge_towards(lattice, giver, taker), _edge_towards(lattice, taker, giver), theme)
    return figure


def weights(theme: Theme, axis: Axis = LATTICE.x, shapes: tuple[Shape, ...] = ("linear", "cosine")) -> Figure:
    """Draw the windows' weights along one axis, and what they add up to."""
    figure, panels = _panels(theme, len(shapes), height_in=1.75 * len(shapes) + 0.3)
    for axes, shape in zip(panels, shapes, strict=True):
        total = np.zeros(axis.length + axis.window, np.float32)
        for chunk in range(axis.n_chunks):
            for index in axis.windows_of(chunk):
                span, ends = axis.window_span(index), (index == 0, index == axis.n_windows - 1)
                found = axis_weights(axis.window, axis.overlap, 0, *ends, shape)
                total[span.slice] += found
                pixels = np.arange(span.start, span.stop)
                axes.fill_between(pixels, found, color=_colour((0, chunk)), alpha=0.3, linewidth=0)
                axes.plot(pixels, found, color=_colour((0, chunk)), linewidth=1.1)
        scene = total[: axis.length]
        said = "exactly 1" if (scene == 1).all() else f"between {scene.min()} and {scene.max()}"
        axes.plot(scene, color=theme.ink, linewidth=1.6)
        axes.set_title(f"{shape}: the sum is {said} at each of {axis.length:,} pixels", color=theme.ink)
        axes.set(xlim=(0, axis.length), ylim=(0, 1.12), ylabel="weight")
    panels[-1].set_xlabel("pixel along x")
    return figure


def order(theme: Theme, lattice: Lattice = LATTICE) -> Figure:
    """Draw in which order the chunks of a scene are run."""
    figure, axes = _map((Span(-8, lattice.height + 8), Span(-8, lattice.width + 8)))
    for number, chunk in enumerate(even_order(_plan(lattice)), start=1):
        rows, cols = lattice.y.chunk_span(chunk[0]), lattice.x.chunk_span(chunk[1])
        _rectangle(axes, rows, cols, facecolor=FILLS[sum(chunk) % len(FILLS)], alpha=0.35)
        _rectangle(axes, rows, cols, edgecolor=theme.ink, linewidth=0.8)
        axes.text(*_centre(rows, cols), f"{number}", ha="center", va="center", weight="bold", fontsize=12)
    return figure


def ledger(theme: Theme) -> Figure:
    """Draw what stands in a product's folder while a chunk goes through its jobs."""
    sums, mark = f"{LEDGER_NAME}/partials/<run>/", f"{LEDGER_NAME}/chunks/<row>-<col>.json"
    run, finish = run_job.__name__, finish_job.__name__
    figure, axes = _empty(height_in=5.0)
    _box(axes, 2.2, 4.9, "waiting", ["nothing of it in the ledger"], theme)
    _box(axes, 1.25, 3.35, "run", [sums, "<row>-<col>.npz: core and strips"], theme)
    _box(axes, 2.2, 1.95, "finished", [f"its shards in {STORE_NAME}", mark], theme)
    _box(axes, 2.2, 0.65, "published", [f"COGs, quicklook, last of all {ITEM_NAME}"], theme)
    _arrow(axes, (1.5, 4.37), (1.25, 3.37), theme)
    axes.text(1.2, 3.87, f"{run}:\na neighbour\nhas not run yet", ha="right", va="center")
    _arrow(axes, (3.0, 4.37), (3.0, 1.97), theme)
    axes.text(3.1, 3.12, f"{run}: those that\nreach into it\nhave run", ha="left", va="center")
    _arrow(axes, (1.25, 2.65), (1.5, 1.97), theme)
    axes.text(1.2, 2.28, f"{finish}:\nnow they have", ha="right", va="center")
    _arrow(axes, (2.2, 1.25), (2.2, 0.67), theme)
    axes.text(2.3, 0.95, "all chunks are finished", ha="left", va="center")
    return figure


def layers(theme: Theme, pyproject: Path = ROOT / "pyproject.toml") -> Figure:
    """Draw the layers of the package, as import-linter checks them."""
    contracts = tomllib.loads(pyproject.read_text())["tool"]["importlinter"]["contracts"]
    rows: list[str] = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    figure, axes = _empty(height_in=ROW_IN * len(rows) + 0.3)
    for level, row in enumerate(reversed(rows)):
        names = [name.strip().removeprefix("rsmtl.") for name in row.split("|")]
        y, fill = 0.3 + level * ROW_IN, FILLS[level % len(FILLS)]
        axes.add_patch(Rectangle((0, y), WIDTH_IN, ROW_IN - 0.06, facecolor=fill, alpha=0.3))
        middle = y + (ROW_IN - 0.06) / 2
        axes.text(WIDTH_IN / 2, middle, "   ".join(names), ha="center", va="center", weight="bold")
    axes.text(WIDTH_IN / 2, 0.1, "each imports only from the rows below it", ha="center", va="center")
    return figure


FIGURES: Mapping[str, Callable[[Theme], Figure]] = {
    "windows": windows,
    "borders": borders,
    "weights": weights,
    "order": order,
    "ledger": ledger,
    "layers": layers,
}


def _plan(lattice: Lattice) -> Plan:
    """Return what the engine plans for a scene of zeros, laid out as the lattice is."""
    pixels = xr.DataArray(
        np.zeros((3, lattice.height, lattice.width), np.uint16),
        dims=("band", "y", "x"),
        coords={"band": ["red", "green", "blue"]},
    )
    pixels = pixels.rio.write_crs("EPSG:32632").rio.write_transform(Affine(1, 0, 0, 0, -1, 0))
    sizes = rsmtl.Settings(window=lattice.window, overlap=lattice.overlap, chunk=lattice.strides_per_chunk)
    scene, model = scene_from_arrays({"image": pixels}), rsmtl.load_model("urec-landscape")
    return plan(scene, model, sizes, measure=False, any_gsd=True)


def _travels(lattice: Lattice, chunk: Chunk) -> list[tuple[Chunk, Chunk]]:
    """Return who gives sums to whom, of a chunk and those that it gives to or takes from."""
    takes = [(giver, chunk) for giver in sorted(lattice.waits_for(chunk)) if giver != chunk]
    return [*takes, *((chunk, taker) for taker in sorted(lattice.awaited_by(chunk)) if taker != chunk)]


def _edge_towards(lattice: Lattice, chunk: Chunk, other: Chunk) -> tuple[float, float]:
    """Return a point of a chunk, close to the edge or corner that it shares with the other."""
    at = []
    for axis, own, its in zip((lattice.x, lattice.y), reversed(chunk), reversed(other), strict=True):
        span = axis.chunk_span(own)
        inset = 0.3 * axis.overlap if its < own else 0.6 * axis.overlap
        edges = {0: 0.5 * (span.start + span.stop), 1: span.stop - inset, -1: span.start + inset}
        at.append(edges[its - own] if its != own else edges[0])
    return at[0], at[1]


def _map(view: tuple[Span, Span]) -> tuple[Figure, Axes]:
    """Return axes in pixels, y downwards, without a frame."""
    y, x = view
    figure = Figure(figsize=(WIDTH_IN, WIDTH_IN * y.size / x.size))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(x.start, x.stop), ylim=(y.stop, y.start), aspect="equal")
    axes.axis("off")
    return figure, axes


def _empty(height_in: float) -> tuple[Figure, Axes]:
    """Return axes in inches, y upwards."""
    figure = Figure(figsize=(WIDTH_IN, height_in))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH_IN), ylim=(0, height_in))
    axes.axis("off")
    return figure, axes


def _panels(theme: Theme, n: int, height_in: float) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    panels = list(figure.subplots(n, 1, sharex=True, squeeze=False)[:, 0])
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(theme.faint)
        axes.tick_params(colors=theme.ink)
        for label in (axes.xaxis.label, axes.yaxis.label):
            label.set_color(theme.ink)
    return figure, panels


def _reach(axis: Axis) -> int:
    """Return where the last window or the scene ends, and some pixels more."""
    return max(axis.length, axis.window_span(axis.n_windows - 1).stop) + 8


def _colour(chunk: Chunk) -> str:
    """Return a chunk's colour, which is none of its neighbours'."""
    return FILLS[(chunk[1] + 2 * chunk[0]) % len(FILLS)]


def _centre(rows: Span, cols: Span) -> tuple[float, float]:
    return (cols.start + cols.stop) / 2, (rows.start + rows.stop) / 2


def _rectangle(
    axes: Axes,
    rows: Span,
    cols: Span,
    facecolor: str = "none",
    edgecolor: str = "none",
    linewidth: float = 0.0,
    linestyle: str = "-",
    alpha: float | None = None,
) -> None:
    corner, sides = (cols.start, rows.start), (cols.size, rows.size)
    drawn = Rectangle(corner, *sides, facecolor=facecolor, edgecolor=edgecolor, alpha=alpha)
    drawn.set(linewidth=linewidth, linestyle=linestyle)
    axes.add_patch(drawn)


def _measure(axes: Axes, span: Span, y: float, label: str, theme: Theme) -> None:
    axes.plot([span.start, span.stop], [y, y], color=theme.ink, linewidth=1, marker="|", markersize=7)
    axes.text(span.stop + 14, y, label, ha="left", va="center")


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], theme: Theme) -> None:
    looks: Any = {"color": theme.ink, "linewidth": 1.3, "shrinkA": 0, "shrinkB": 0}
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=11, **looks))


def _box(axes: Axes, x: float, top: float, name: str, lines: list[str], theme: Theme) -> None:
    """Draw a state: its name, and below it what stands on the disk."""
    width, height = 2.35, 0.36 + 0.17 * len(lines)
    looks: Any = {
        "facecolor": FILLS[0] + "30",
        "edgecolor": theme.faint,
        "boxstyle": "round,pad=0,rounding_size=0.08",
    }
    axes.add_patch(FancyBboxPatch((x - width / 2, top - height), width, height, **looks))
    axes.text(x, top - 0.07, name, ha="center", va="top", weight="bold", fontsize=10)
    axes.text(x, top - 0.28, "\n".join(lines), ha="center", va="top", fontsize=8, linespacing=1.35)
