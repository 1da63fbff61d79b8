"""What lies on the ground and how the sun falls on it, pixel by pixel."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from rsmtl.synthetic import noise, trees
from rsmtl.synthetic.buildings import Buildings, buildings
from rsmtl.synthetic.frame import Frame
from rsmtl.synthetic.layout import TOWN_WOOD_M, Layout, layout
from rsmtl.synthetic.materials import CLASS_OF, GRAIN, MOTTLE, ROWS, M
from rsmtl.synthetic.noise import F32, Index
from rsmtl.synthetic.terrain import Terrain, terrain
from rsmtl.synthetic.trees import Canopy, canopy

SUN = (0.8, 0.6)
"""Horizontal unit vector towards the sun, `(y, x)`: a morning sun in the south-east."""
SUN_SLOPE = 1.25
"""Tangent of the sun's elevation: what is 1.25 m high casts a shadow of 1 m."""
_HIGHEST_M = 12.0
SHADOW_M = _HIGHEST_M / SUN_SLOPE
_TERRAIN_STEP_M = 8.0
_MARKING_M = -3.85
"""The main road's middle line begins this far inside its edge."""


@dataclass(frozen=True)
class Surface:
    """A frame's ground truth and what it takes to paint it, each `(H, W)`."""

    material: NDArray[np.uint8]
    brightness: F32
    """Factor on the material's reflectance: tone, texture, slope towards the sun."""
    lit: F32
    """1 in the sun, 0 in a shadow."""

    @property
    def classes(self) -> NDArray[np.uint8]:
        """`(H, W)` uint8 numbers of `CLASSES`."""
        return CLASS_OF[self.material]


def surface(seed: int, frame: Frame) -> Surface:
    """Return the surface of the world of `seed` over a frame."""
    sunlit = frame.grow(frame.pixels(SHADOW_M) + 1)
    around = sunlit.grow(frame.pixels(trees.REACH_M) + 1)
    plan = layout(seed, around.y[:, None], around.x[None, :], _smooth(seed, around))
    ground = _ground(seed, around, plan)
    houses = buildings(seed, (around.y[0], around.y[-1]), (around.x[0], around.x[-1]))
    _paint_buildings(houses, around, ground)

    crowns = canopy(seed, sunlit, ground.tree_density, around, SUN)
    ground = ground.cut(sunlit.within(around))
    _paint_crowns(crowns, plan.terrain.needles[sunlit.within(around)], ground)
    lit = _lit(ground.height_m, frame, sunlit)

    ground = ground.cut(frame.within(sunlit))
    texture = _texture(seed, frame, plan, frame.within(around), ground.material)
    return Surface(ground.material, ground.brightness * texture, lit)


@dataclass(frozen=True)
class _Ground:
    """What is painted step by step, each `(H, W)`."""

    material: NDArray[np.uint8]
    brightness: F32
    height_m: F32
    tree_density: F32

    def cut(self, part: tuple[slice, slice]) -> "_Ground":
        return _Ground(
            self.material[part], self.brightness[part], self.height_m[part], self.tree_density[part]
        )


def _smooth(seed: int, frame: Frame) -> Terrain:
    """Return the smooth fields over a frame: exact at nodes 8 m apart, bilinear in between."""

    def nodes(row: Index, column: Index) -> F32:
        y, x = (axis.astype(np.float64) * _TERRAIN_STEP_M for axis in (row, column))
        land = terrain(seed, y, x)
        return np.stack([getattr(land, field.name) for field in fields(Terrain)])

    return Terrain(*noise.upsample(_TERRAIN_STEP_M, frame.y, frame.x, nodes))


def _ground(seed: int, frame: Frame, plan: Layout) -> _Ground:
    """Lay fields, verges, hedges, woods, water and roads over each other, in this order."""
    land = plan.terrain
    ragged = noise.grain(noise.key(seed, 80), 3.0, frame.y, frame.x)
    material = plan.plots.material[plan.plot]
    brightness = plan.plots.tone[plan.plot]
    density = plan.plots.tree_density[plan.plot]
    water_m = np.minimum(land.river_m, land.lake_m)
    open_m = np.minimum(plan.road_m, np.minimum(plan.main_m - 1.0, water_m))

    verge = (plan.balk_m < 0) | (plan.road_m < 1.4) | (plan.main_m < 3.0)
    bank = water_m < 3.5 + 1.5 * ragged
    hedge = plan.hedge_m + 0.9 * ragged < 0
    wood = land.wood_m + 3.0 * ragged < np.where(plan.plots.town[plan.plot], np.float32(-TOWN_WOOD_M), 0)
    road = (plan.road_m < 0) & (land.lake_m > 0) & ((land.river_m > 0) | (plan.bridge_m < 0))

    density = np.where((plan.main_m > 2) & (plan.main_m < 6), np.maximum(density, 0.30), density)
    density = np.where((water_m > 0.5) & (water_m < 7), np.maximum(density, 0.32), density)
    density = np.where(plan.hedge_m < 1.2, np.maximum(density, 0.34), density)
    density = np.where(wood, np.float32(1), density)
    density = np.where(open_m < 1.2, np.float32(0), density)

    for where, name, tone in (
        (verge, "meadow", 1.0),
        (bank, "bank", 0.95),
        (hedge, "hedge", 1.0),
        (wood, "leaves", 0.6),
        (land.river_m < 0, "river", 1.0),
        (land.lake_m < 0, "lake", 1.0),
        (road, "worn asphalt", 1.0),
        (plan.main_m < 0, "asphalt", 1.0),
        (plan.main_m < _MARKING_M, "marking", 1.0),
    ):
        material[where] = M[name]
        brightness[where] = tone
    height = np.where(material == M["hedge"], np.float32(2.4), np.float32(0))
    return _Ground(material, brightness, height, density)


def _paint_buildings(houses: Buildings, frame: Frame, ground: _Ground) -> None:
    for number in range(len(houses.y)):
        length, width = float(houses.half_length[number]), float(houses.half_width[number])
        cosine, sine = houses.cosine[number], houses.sine[number]
        reach = np.sqrt(length * length + width * width) + 2.5
        part = _box(frame, float(houses.y[number]), float(houses.x[number]), reach)
        dy = (frame.y[part[0]] - houses.y[number]).astype(np.float32)[:, None]
        dx = (frame.x[part[1]] - houses.x[number]).astype(np.float32)[None, :]
        along, across = dx * cosine + dy * sine, dy * cosine - dx * sine
        beside = np.maximum(np.abs(along) - np.float32(length), np.abs(across) - np.float32(width))
        inside = beside < 0
        slope = houses.ridge_m[number] / houses.half_width[number]
        # A roof's side that falls away towards the sun is the brighter one.
        to_sun = np.float32(SUN[0]) * cosine - np.float32(SUN[1]) * sine
        facing = 1 + np.float32(0.32) * min(slope, np.float32(1)) * to_sun * np.sign(across)
        height = houses.eaves_m[number] + houses.ridge_m[number] - slope * np.abs(across)
        ground.material[part][inside] = houses.material[number]
        ground.brightness[part][inside] = (houses.tone[number] * facing)[inside]
        ground.height_m[part][inside] = height[inside]
        ground.tree_density[part][beside < 2.5] = 0


def _box(frame: Frame, y: float, x: float, reach: float) -> tuple[slice, slice]:
    top, left = int((y - reach) // frame.gsd_m) - frame.row, int((x - reach) // frame.gsd_m) - frame.column
    size = int(2 * reach // frame.gsd_m) + 2
    bottom, right = top + size, left + size
    return slice(max(top, 0), max(bottom, 0)), slice(max(left, 0), max(right, 0))


def _paint_crowns(crowns: Canopy, needles: F32, ground: _Ground) -> None:
    over = crowns.height_m > ground.height_m
    kind = np.where(needles > 0.25, np.uint8(M["needles"]), np.uint8(M["leaves"]))
    np.copyto(ground.material, kind, where=over)
    np.copyto(ground.brightness, crowns.shading * crowns.tone, where=over)
    np.copyto(ground.height_m, crowns.height_m, where=over)


def _lit(height_m: F32, frame: Frame, sunlit: Frame) -> F32:
    """Return 1 where no height towards the sun stands in its light, else 0."""
    rows, columns = frame.within(sunlit)
    shade = np.zeros(frame.shape, np.float32)
    for step in range(1, frame.pixels(SHADOW_M) + 1):
        down, right = round(step * SUN[0]), round(step * SUN[1])
        seen = height_m[rows.start + down : rows.stop + down, columns.start + right : columns.stop + right]
        np.maximum(shade, seen - np.float32(step * frame.gsd_m * SUN_SLOPE), out=shade)
    return (shade <= height_m[rows, columns] + np.float32(0.15)).astype(np.float32)


def _texture(
    seed: int, frame: Frame, plan: Layout, part: tuple[slice, slice], material: NDArray[np.uint8]
) -> F32:
    """Return the factor by which grain, mottle and rows change the brightness."""
    fine = noise.normal(noise.key(seed, 81), frame.rows[:, None], frame.columns[None, :])
    mottle = np.zeros(frame.shape, np.float32)
    for salt, (step_m, share) in enumerate(((1.7, 0.7), (6.0, 0.8), (23.0, 0.7))):
        mottle += np.float32(share) * noise.grain(noise.key(seed, 82, salt), step_m, frame.y, frame.x)
    texture = 1 + GRAIN[material] * fine + MOTTLE[material] * mottle
    worked: F32 = np.where(plan.end_m[part] < 9, plan.along_m[part], plan.across_m[part])
    spacing = plan.plots.row_spacing_m[plan.plot[part]]
    # Rows narrower than two pixels cannot be seen; they would only alias.
    seen = np.clip(spacing * np.float32(0.5 / frame.gsd_m) - 1, 0, 1)
    texture += ROWS[material] * seen * _wave(worked / spacing)
    if frame.gsd_m > 1:
        return texture
    # Tractors drive the same two tracks every 18 m all season.
    turns = worked * np.float32(1 / 18)
    beside = np.abs(turns - np.floor(turns) - np.float32(0.5)) * np.float32(18)
    tracks = (np.abs(beside - np.float32(0.9)) < np.float32(0.3)) & (ROWS[material] > 0)
    return np.where(tracks, texture * np.float32(0.82), texture)


def _wave(turns: F32) -> F32:
    """Return a triangle wave in ±1."""
    return np.asarray(np.abs(turns - np.floor(turns) - np.float32(0.5)) * np.float32(4) - np.float32(1))
