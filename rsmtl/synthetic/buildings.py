"""Houses along the streets of towns: oriented rectangles, chosen so that any two windows agree on each."""

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from rsmtl.synthetic import noise
from rsmtl.synthetic.layout import TOWN_WOOD_M, Layout, layout
from rsmtl.synthetic.materials import M
from rsmtl.synthetic.noise import F32, F64
from rsmtl.synthetic.terrain import terrain

LOT_M = 13.0
"""Edge of the jittered cells that offer one house each."""
_LARGEST_M = 18.0
"""Beyond the half diagonal of the largest building, and the strip around it that no tree stands in."""
_PULL_M = 16.0
"""A house is moved to its street from at most this far."""
_CONFLICT_M = 28.0
"""Beyond the distance at which the two largest buildings touch."""
_DEPENDS_M = 3 * _CONFLICT_M + _PULL_M + LOT_M + _LARGEST_M
"""How far away lie the candidates that can decide whether a house stands, two rounds of giving way and a wing."""
_ROOFS = ("red tiles", "brown tiles", "slate", "metal roof")


@dataclass(frozen=True)
class Buildings:
    """Oriented rectangles, `(n,)` each."""

    y: F64
    x: F64
    cosine: F32
    """Of the angle from east to the ridge, clockwise (`y` points south)."""
    sine: F32
    half_length: F32
    half_width: F32
    eaves_m: F32
    ridge_m: F32
    """Height of the ridge above the eaves; 0 for a flat roof."""
    material: NDArray[np.uint8]
    tone: F32
    gable: NDArray[np.bool_]
    """True if a gable, not an eave, faces the street."""
    rank: NDArray[np.uint32]
    """The higher one stays where two would overlap."""

    def take(self, keep: NDArray[np.bool_]) -> "Buildings":
        """Return those buildings for which `keep` is true."""
        return Buildings(*(getattr(self, field.name)[keep] for field in fields(self)))


def buildings(seed: int, y_m: tuple[float, float], x_m: tuple[float, float]) -> Buildings:
    """Return every building of the world of `seed` that touches a box in metres (and some that do not)."""
    margin = _DEPENDS_M + _LARGEST_M
    rows = np.arange(int((y_m[0] - margin) // LOT_M), int((y_m[1] + margin) // LOT_M) + 1)
    columns = np.arange(int((x_m[0] - margin) // LOT_M), int((x_m[1] + margin) // LOT_M) + 1)
    row, column = (axis.ravel() for axis in np.meshgrid(rows, columns, indexing="ij"))
    settled = _layout_at(seed, *_lot_points(seed, row, column))
    in_town = settled.plots.town[settled.plot]
    if not in_town.any():
        return _none()
    candidates = _at_streets(seed, row[in_town], column[in_town])
    candidates = _with_wings(_give_way(candidates))
    near = (candidates.y > y_m[0] - _LARGEST_M) & (candidates.y < y_m[1] + _LARGEST_M)
    near &= (candidates.x > x_m[0] - _LARGEST_M) & (candidates.x < x_m[1] + _LARGEST_M)
    return candidates.take(near)


def _lot_points(seed: int, row: noise.Index, column: noise.Index) -> tuple[F64, F64]:
    y, x = (noise.uniform(noise.key(seed, 60, axis), row, column).astype(np.float64) for axis in (0, 1))
    return (row + y) * LOT_M, (column + x) * LOT_M


def _layout_at(seed: int, y: F64, x: F64) -> Layout:
    return layout(seed, y, x, terrain(seed, y, x))


def _road_and_slope(seed: int, y: F64, x: F64) -> tuple[F32, F32, F32]:
    """Return the distance to the nearest road at points, and the unit vector away from it."""
    n, step = len(y), 0.5
    plan = _layout_at(seed, np.concatenate([y, y + step, y]), np.concatenate([x, x, x + step]))
    road = plan.road_m[:n]
    away_y, away_x = plan.road_m[n : 2 * n] - road, plan.road_m[2 * n :] - road
    length = np.sqrt(away_y * away_y + away_x * away_x) + np.float32(1e-6)
    return road, away_y / length, away_x / length


def _at_streets(seed: int, row: noise.Index, column: noise.Index) -> Buildings:
    """Move each candidate to its street's building line, turn it along the street, and drop the misplaced."""

    def draw(salt: int) -> F32:
        return noise.uniform(noise.key(seed, 61, salt), row, column)

    y, x = _lot_points(seed, row, column)
    shed = draw(0) < 0.30
    hall = draw(0) > 0.965
    half_length = np.where(shed, 2.2 + 1.4 * draw(1), np.where(hall, 10 + 3 * draw(1), 5.0 + 3.2 * draw(1)))
    half_width = np.where(shed, 1.6 + 0.9 * draw(2), np.where(hall, 6 + 1.2 * draw(2), 3.9 + 1.3 * draw(2)))
    road, away_y, away_x = _road_and_slope(seed, y, x)
    pull = np.where(shed, 0.0, half_width + 3.5 + 2.5 * draw(3) - road)
    y, x = y + pull * away_y, x + pull * away_x
    road, away_y, away_x = _road_and_slope(seed, y, x)
    fits = (np.abs(pull) < _PULL_M) & (road > half_width + 1.5) & (road < 42)
    swap = (draw(4) < 0.3) & ~hall  # the gable faces the street
    fits &= np.where(swap, road > half_length + 1.5, True) & (np.where(shed, road, 99) > 14)
    placed = Buildings(
        y=y,
        x=x,
        cosine=np.where(swap, away_x, -away_y),
        sine=np.where(swap, away_y, away_x),
        half_length=half_length.astype(np.float32),
        half_width=half_width.astype(np.float32),
        eaves_m=np.where(shed, 2.4, np.where(hall, 7.0, 3.2 + 2.6 * draw(5))).astype(np.float32),
        ridge_m=np.where(hall | (shed & (draw(6) < 0.6)), 0.0, half_width * 0.7).astype(np.float32),
        material=_roofs(draw(7), hall),
        tone=(0.8 + 0.4 * draw(8)).astype(np.float32),
        gable=swap,
        rank=noise.bits(noise.key(seed, 62), row, column) >> np.where(shed, 8, 0).astype(np.uint32),
    )
    return placed.take(fits & _on_dry_ground(seed, placed))


def _roofs(draw: F32, hall: NDArray[np.bool_]) -> NDArray[np.uint8]:
    materials = np.array([M[name] for name in _ROOFS], np.uint8)
    house = materials[np.searchsorted(np.array([0.55, 0.75, 0.95]), draw.astype(np.float64))]
    return np.where(hall, materials[2 + (draw > 0.4)], house)


def _on_dry_ground(seed: int, houses: Buildings) -> NDArray[np.bool_]:
    """Say which houses keep off roads, water, woods and other estates, at their corners."""
    corner_y, corner_x = [], []
    for along in (-1, 1):
        for across in (-1, 1):
            a, b = along * houses.half_length, across * houses.half_width
            corner_y.append(houses.y + a * houses.sine + b * houses.cosine)
            corner_x.append(houses.x + a * houses.cosine - b * houses.sine)
    plan = _layout_at(seed, np.concatenate(corner_y), np.concatenate(corner_x))
    land = plan.terrain
    inside = (plan.road_m > 1.5) & (land.river_m > 4) & (land.lake_m > 4) & (land.wood_m > 3 - TOWN_WOOD_M)
    inside &= plan.plots.town[plan.plot]
    return np.asarray(inside.reshape(4, -1).all(axis=0))


def _give_way(houses: Buildings) -> Buildings:
    """Keep the houses that outrank all that they would touch; then, of the rest that touch none of these, again."""
    radius = houses.half_length * np.float32(0.82) + houses.half_width * np.float32(0.35)
    pairs = cKDTree(np.stack([houses.y, houses.x], axis=1)).query_pairs(_CONFLICT_M, output_type="ndarray")
    i, j = pairs.T
    apart_y, apart_x = houses.y[i] - houses.y[j], houses.x[i] - houses.x[j]
    limit = radius[i] + radius[j] + 1.0
    touch = apart_y * apart_y + apart_x * apart_x < limit * limit
    i, j = i[touch], j[touch]
    i_wins = houses.rank[i] > houses.rank[j]
    winner, loser = np.where(i_wins, i, j), np.where(i_wins, j, i)
    first = np.ones(len(houses.y), np.bool_)
    first[loser] = False
    rest = ~first
    rest[loser[first[winner]]] = False
    second = rest.copy()
    second[loser[rest[winner]]] = False
    return houses.take(first | second)


def _with_wings(houses: Buildings) -> Buildings:
    """Give a third of the houses a wing at the back."""
    draws = houses.rank & np.uint32(0xFF)
    main = houses.take((draws < 90) & (houses.half_length > 5.5) & (houses.ridge_m > 0) & ~houses.gable)
    side = np.where(main.rank & np.uint32(1), 1, -1).astype(np.float32)
    half_width = main.half_width * np.float32(0.72)
    half_length = main.half_width * np.float32(0.95)
    along, across = side * (main.half_length - half_width), -main.half_width
    wings = replace(
        main,
        y=main.y + along * main.sine + across * main.cosine,
        x=main.x + along * main.cosine - across * main.sine,
        cosine=-main.sine,
        sine=main.cosine,
        half_length=half_length,
        half_width=half_width,
        ridge_m=main.ridge_m * np.float32(0.72),
    )
    both = ((getattr(houses, field.name), getattr(wings, field.name)) for field in fields(houses))
    return Buildings(*(np.concatenate(pair) for pair in both))


def _none() -> Buildings:
    nothing = np.zeros(0)
    return Buildings(
        y=nothing,
        x=nothing,
        cosine=nothing.astype(np.float32),
        sine=nothing.astype(np.float32),
        half_length=nothing.astype(np.float32),
        half_width=nothing.astype(np.float32),
        eaves_m=nothing.astype(np.float32),
        ridge_m=nothing.astype(np.float32),
        material=nothing.astype(np.uint8),
        tone=nothing.astype(np.float32),
        gable=nothing.astype(np.bool_),
        rank=nothing.astype(np.uint32),
    )
