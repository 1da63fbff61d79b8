"""Where things lie: roads, hedges, and estates cut into plots; at any points, in metres."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsmtl.synthetic import noise
from rsmtl.synthetic.estates import K, Plots, estates
from rsmtl.synthetic.noise import F32, F64, Index
from rsmtl.synthetic.regions import REACH_M, Regions, pair_uniform, regions
from rsmtl.synthetic.terrain import Terrain

ESTATE_M = 300.0
"""Mean distance of the estates' sites; roads and hedges run between estates."""
MAIN_ROAD_M = 1200.0
"""Mean distance of the main roads, which cross estates as they come."""
TOWN_WOOD_M = 22.0
"""Towns reach this far into woods."""

# What is added to the distance from a `Border` to have that from its street, hedge or balk.
_FAR = REACH_M
_STREET_OFFSET = np.array([_FAR, _FAR, _FAR, -2.9], np.float32)
_HEDGE_OFFSET = np.array([_FAR, _FAR, -1.7, _FAR], np.float32)
_BALK_OFFSET = np.array([_FAR, -0.9, -2.8, _FAR], np.float32)


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


def layout(seed: int, y: F64, x: F64, land: Terrain) -> Layout:
    """Return the plan of the ground at points in metres, given the smooth fields there."""
    main = regions(noise.key(seed, 30), MAIN_ROAD_M, y, x, land.shift_y, land.shift_x)
    lands = regions(noise.key(seed, 31), ESTATE_M, y, x, land.shift_y, land.shift_x)
    return _within_estates(seed, lands, land, main.edge_m - np.float32(4.2))


def _within_estates(seed: int, lands: Regions, land: Terrain, main_m: F32) -> Layout:
    tables = estates(seed, lands)
    owner = lands.owner
    cosine, sine = tables.cosine[owner], tables.sine[owner]
    across = cosine * lands.dx + sine * lands.dy
    along = cosine * lands.dy - sine * lands.dx
    strip, strip_edge, strip_kind = _interval(
        across, tables.strip_m[owner], owner * K, tables.strip_start.ravel(), tables.strip_border.ravel()
    )
    plot, plot_edge, plot_kind = _interval(
        along, tables.plot_m[owner], strip * K, tables.plot_start.ravel(), tables.plot_border.ravel()
    )
    between = pair_uniform(noise.key(seed, 32), lands.ids)
    half_width, hedge_width = _edge_tables(between, tables.town)
    bridge = np.minimum(lands.edge_m - half_width[owner, lands.other], main_m)
    road = bridge
    hedge = lands.edge_m - hedge_width[owner, lands.other]
    balk = np.full_like(road, REACH_M)
    for edge, kind in ((strip_edge, strip_kind), (plot_edge, plot_kind)):
        road = np.minimum(road, edge + _STREET_OFFSET[kind])
        hedge = np.minimum(hedge, edge + _HEDGE_OFFSET[kind])
        balk = np.minimum(balk, edge + _BALK_OFFSET[kind])
    return Layout(land, tables.plots, plot, road, bridge, main_m, hedge, balk, along, across, plot_edge)


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
    guess = np.floor(position / width).astype(np.intp) + K // 2
    index = base + np.clip(guess, 1, K - 3)
    index += (position >= starts[index + 1]).astype(np.intp)
    index -= (position < starts[index]).astype(np.intp)
    below, above = position - starts[index], starts[index + 1] - position
    nearer = index + (above < below)
    return index, np.minimum(below, above), kinds[nearer]
