"""Where things lie: water, woods, roads, and estates cut into plots; distances in metres, at any points."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from rsmtl.synthetic import noise
from rsmtl.synthetic.materials import M
from rsmtl.synthetic.noise import F32, F64, Index
from rsmtl.synthetic.regions import REACH_M, Regions, pair_uniform, regions

ESTATE_M = 300.0
MAIN_ROAD_M = 1200.0
RIVER_M = 820.0
TOWN_WOOD_M = 22.0
"""Towns reach this far into woods."""
_K = 28
"""Strips that a table holds per estate, and plots per strip; the middle one is at the estate's site."""


class Border(IntEnum):
    """What runs along the border between two plots."""

    NONE = 0
    BALK = 1
    HEDGE = 2
    STREET = 3


@dataclass(frozen=True)
class Terrain:
    """The smooth fields; each `(...)` float32. Distances are negative inside."""

    shift_y: F32
    shift_x: F32
    river_m: F32
    lake_m: F32
    wood_m: F32
    needles: F32


@dataclass(frozen=True)
class Plots:
    """One row of numbers per plot of the estates in sight."""

    town: NDArray[np.bool_]
    material: NDArray[np.uint8]
    tone: F32
    tree_density: F32
    row_spacing_m: F32


@dataclass(frozen=True)
class Layout:
    """The plan of the ground at points `(...)`; distances in metres, negative inside, cut off at `REACH_M`."""

    terrain: Terrain
    plots: Plots
    plot: Index
    road_m: F32
    bridge_m: F32
    """Distance to the nearest road that crosses rivers."""
    main_m: F32
    hedge_m: F32
    balk_m: F32
    along_m: F32
    """Position along the plot's strip."""
    across_m: F32
    """Position across the strip: rows are lines of constant `across_m`."""
    end_m: F32
    """Distance to the nearer end of the plot along its strip."""


def terrain(seed: int, y: F64, x: F64) -> Terrain:
    """Return the smooth fields of the world of `seed` at points in metres (`y` and `x` broadcast)."""

    def field(salt: int, cell_m: float) -> F32:
        return noise.spline_noise(noise.key(seed, salt), cell_m, y, x)

    wood = field(20, 210.0) + 0.35 * field(21, 60.0)
    return Terrain(
        shift_y=34.0 * field(1, 330.0) + 4.0 * field(2, 80.0),
        shift_x=34.0 * field(3, 330.0) + 4.0 * field(4, 80.0),
        river_m=_river(seed, y, x),
        lake_m=(2.05 - field(15, 150.0) - 0.16 * field(16, 40.0)) * np.float32(55.0),
        wood_m=(1.05 - wood) * np.float32(60.0),
        needles=field(22, 150.0),
    )


def layout(seed: int, y: F64, x: F64, land: Terrain) -> Layout:
    """Return the plan of the ground at points in metres, given the smooth fields there."""
    main = regions(noise.key(seed, 30), MAIN_ROAD_M, y, x, land.shift_y, land.shift_x)
    estates = regions(noise.key(seed, 31), ESTATE_M, y, x, land.shift_y, land.shift_x)
    return _within_estates(seed, estates, land, main.edge_m - np.float32(4.2))


def _river(seed: int, y: F64, x: F64) -> F32:
    angle = noise.key(seed, 10) / 2**32 * np.pi
    # Coarse steps keep the two numbers the same on every machine.
    sine, cosine = (round(float(f(angle)) * 4096) / 4096 for f in (np.sin, np.cos))

    def line(y: F64, x: F64) -> F64:
        wide = noise.spline_noise(noise.key(seed, 11), 340.0, y, x).astype(np.float64)
        narrow = noise.spline_noise(noise.key(seed, 12), 95.0, y, x).astype(np.float64)
        return y * cosine + x * sine + 130.0 * wide + 17.0 * narrow

    here, step = line(y, x), 2.0
    slope_y, slope_x = (line(y + step, x) - here) / step, (line(y, x + step) - here) / step
    steepness = np.sqrt(slope_y * slope_y + slope_x * slope_x + 0.02)
    turns = here / RIVER_M
    middle = np.abs(turns - np.floor(turns) - 0.5) * RIVER_M
    half_width = 10.0 + 3.0 * noise.spline_noise(noise.key(seed, 13), 220.0, y, x)
    return (middle / steepness).astype(np.float32) - half_width


@dataclass(frozen=True)
class _Tables:
    """What is drawn once per estate, strip and plot: `n` estates in sight."""

    cosine: F32
    sine: F32
    strip_m: F32
    """`(n,)` mean width of the strips."""
    strip_start: F32
    """`(n, K)` where each strip begins across."""
    strip_border: NDArray[np.uint8]
    plot_m: F32
    plot_start: F32
    """`(n, K, K)` where each plot begins along its strip."""
    plot_border: NDArray[np.uint8]
    plots: Plots


def _within_estates(seed: int, estates: Regions, land: Terrain, main_m: F32) -> Layout:
    tables = _tables(seed, estates)
    owner = estates.owner
    cosine, sine = tables.cosine[owner], tables.sine[owner]
    across = cosine * estates.dx + sine * estates.dy
    along = cosine * estates.dy - sine * estates.dx
    strip, strip_edge, strip_kind = _interval(
        across, tables.strip_m[owner], owner * _K, tables.strip_start.ravel(), tables.strip_border.ravel()
    )
    plot, plot_edge, plot_kind = _interval(
        along, tables.plot_m[owner], strip * _K, tables.plot_start.ravel(), tables.plot_border.ravel()
    )
    between = pair_uniform(noise.key(seed, 32), estates.ids)
    half_width, hedge_width = _edge_tables(between, tables.plots.town.reshape(len(estates.ids), -1)[:, 0])
    bridge = np.minimum(estates.edge_m - half_width[owner, estates.other], main_m)
    road = bridge
    hedge = estates.edge_m - hedge_width[owner, estates.other]
    balk = np.full_like(road, REACH_M)
    for edge, kind in ((strip_edge, strip_kind), (plot_edge, plot_kind)):
        road = np.minimum(road, edge + _STREET_OFFSET[kind])
        hedge = np.minimum(hedge, edge + _HEDGE_OFFSET[kind])
        balk = np.minimum(balk, edge + _BALK_OFFSET[kind])
    return Layout(land, tables.plots, plot, road, bridge, main_m, hedge, balk, along, across, plot_edge)


_FAR = REACH_M
_STREET_OFFSET = np.array([_FAR, _FAR, _FAR, -2.9], np.float32)
_HEDGE_OFFSET = np.array([_FAR, _FAR, -1.7, _FAR], np.float32)
_BALK_OFFSET = np.array([_FAR, -0.9, -2.8, _FAR], np.float32)


def _edge_tables(between: F32, town: NDArray[np.bool_]) -> tuple[F32, F32]:
    """Return `(n, n)` half widths of the road and of the hedge between two estates, −REACH_M where none is."""
    built = town[:, None] | town[None, :]
    road = np.where(between < 0.35, 3.4, 2.4)
    road = np.where((between > 0.74) & ~built, -_FAR, road)
    hedge = np.where((between > 0.74) & ~built, 2.2, -_FAR)
    for table in (road, hedge):
        np.fill_diagonal(table, -_FAR)
    return road.astype(np.float32), hedge.astype(np.float32)


def _interval(
    position: F32, width: F32, base: Index, starts: F32, kinds: NDArray[np.uint8]
) -> tuple[Index, F32, NDArray[np.uint8]]:
    """Find the interval of an irregular ruler that holds each position.

    Returns the interval's flat index, the distance to its nearer end, and what runs along that end.
    """
    guess = np.floor(position / width).astype(np.intp) + _K // 2
    index = base + np.clip(guess, 1, _K - 3)
    index += (position >= starts[index + 1]).astype(np.intp)
    index -= (position < starts[index]).astype(np.intp)
    below, above = position - starts[index], starts[index + 1] - position
    nearer = index + (above < below)
    return index, np.minimum(below, above), kinds[nearer]


def _tables(seed: int, estates: Regions) -> _Tables:
    ids, count = estates.ids, len(estates.ids)

    def draw(salt: int, *shape: int) -> F32:
        grid = [np.arange(size).reshape([-1 if a == axis else 1 for a in range(len(shape))])
                for axis, size in enumerate(shape)]
        first = ids.reshape(-1, *[1] * len(shape))
        return noise.uniform(noise.key(seed, 40, salt), first, *grid)

    settled = noise.spline_noise(noise.key(seed, 41), 420.0, estates.sites[:, 0], estates.sites[:, 1])
    town = settled + 0.5 * (draw(0) - np.float32(0.5)) > 0.65
    cosine, sine = _directions(draw(1))
    strip_m = np.where(town, 58 + 14 * draw(2), 42 + 75 * draw(2) * draw(3)).astype(np.float32)
    plot_m = np.where(town, 110 + 60 * draw(4), 110 + 170 * draw(4)).astype(np.float32)
    number = np.arange(_K, dtype=np.float32) - np.float32(_K // 2)
    strip_start = (number + 0.36 * (draw(5, _K) - np.float32(0.5))) * strip_m[:, None]
    plot_start = (number + 0.5 * (draw(6, _K, _K) - np.float32(0.5))) * plot_m[:, None, None]
    strip_border = np.where(town[:, None], Border.STREET, _pick(draw(7, _K), (0.12, 0.42, 0.34, 0.12)))
    in_town = _pick(draw(8, _K, _K), (0.0, 0.3, 0.2, 0.5))
    plot_border = np.where(town[:, None, None], in_town, _pick(draw(8, _K, _K), (0.2, 0.5, 0.3, 0.0)))
    plots = _plots(np.broadcast_to(town[:, None, None], (count, _K, _K)), lambda salt: draw(salt, _K, _K))
    return _Tables(cosine, sine, strip_m, strip_start.astype(np.float32), strip_border.astype(np.uint8),
                   plot_m, plot_start.astype(np.float32), plot_border.astype(np.uint8), plots)


def _directions(turn: F32) -> tuple[F32, F32]:
    """Return unit vectors spread over the half circle, made without trigonometry (rational parametrisation)."""
    t = (turn * np.float32(2) - np.float32(1)).astype(np.float32)
    square = t * t
    return (1 - square) / (1 + square), 2 * t / (1 + square)


def _pick(draws: F32, shares: tuple[float, ...]) -> NDArray[np.intp]:
    """Return a number for each draw, `i` with a chance of `shares[i]`."""
    edges = np.cumsum(np.array(shares[:-1], np.float64))
    return np.searchsorted(edges, draws.astype(np.float64), side="right")


_CROPS = ("wheat", "maize", "beet", "rapeseed", "ripe grain", "stubble", "ploughed", "harrowed", "meadow", "dry meadow")
_CROP_SHARES = (0.20, 0.10, 0.09, 0.10, 0.11, 0.06, 0.09, 0.07, 0.12, 0.06)


def _plots(town: NDArray[np.bool_], draw: Callable[[int], F32]) -> Plots:
    crop = np.array([M[name] for name in _CROPS], np.uint8)[_pick(draw(10), _CROP_SHARES)]
    copse, orchard = draw(11) < 0.05, draw(12) < 0.03
    material = np.where(orchard, M["meadow"], np.where(copse, M["leaves"], crop))
    material = np.where(town, M["garden"], material)
    density = np.where(copse, 1.0, np.where(orchard, 0.6, np.where(crop >= M["meadow"], 0.02, 0.0)))
    density = np.where(town, 0.10 + 0.25 * draw(13), density)
    tone = np.where(copse & ~town, 0.6, 0.86 + 0.28 * draw(14))
    spacing = np.array([2.5, 3.0, 4.0, 6.0], np.float32)[(draw(15) * 4).astype(np.intp)]
    return Plots(
        town=town.ravel(),
        material=material.astype(np.uint8).ravel(),
        tone=tone.astype(np.float32).ravel(),
        tree_density=density.astype(np.float32).ravel(),
        row_spacing_m=spacing.ravel(),
    )
