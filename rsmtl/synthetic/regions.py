"""A plane cut into irregular regions: the Voronoi cells of a jittered grid of sites."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from rsmtl.synthetic.noise import F32, F64, Index, bits, uniform

REACH_M = 48.0
"""Distances to a region's edge are cut off here, which bounds how far away a site can matter."""
_PART = 320
"""Edge of the part of a grid that is looked at together; of a list of points, the square of it."""
_JITTER = 0.72
"""A site keeps within this fraction of its grid cell; it makes the cells of a 5 × 5 neighbourhood sufficient."""


@dataclass(frozen=True)
class Regions:
    """Which region each point is in, and how far from the edge. `...` is the shape of the points."""

    owner: Index
    """`(...)` the region's place in `ids`."""
    other: Index
    """`(...)` place in `ids` of the region beyond the nearest edge (the owner itself if none is in reach)."""
    edge_m: F32
    """`(...)` distance to the nearest edge, at most `REACH_M`."""
    dy: F32
    """`(...)` metres from the owner's site, southwards."""
    dx: F32
    """`(...)` metres from the owner's site, eastwards."""
    ids: NDArray[np.uint32]
    """`(n,)` a number that names the region wherever it is seen from."""
    sites: F64
    """`(n, 2)` metres, `(y, x)`."""


def regions(key: int, spacing_m: float, y: F64, x: F64, shift_y: F32, shift_x: F32) -> Regions:
    """Return the regions around points.

    Parameters
    ----------
    key
        Of this set of regions.
    spacing_m
        Mean distance of the sites.
    y, x
        Metres of the points; they broadcast against each other and against the shifts.
    shift_y, shift_x
        Metres by which the plane is warped at each point: edges become curves.
    """
    ids, sites = _sites(key, spacing_m, y, x, shift_y, shift_x)
    inverse = _inverse_distances(sites)
    shape = np.broadcast_shapes(y.shape, x.shape)
    owner, other, edge = np.empty(shape, np.intp), np.empty(shape, np.intp), np.empty(shape, np.float32)
    for part in _parts(shape):
        y_part, x_part = y[part[0]], x[part[-1]] if x.ndim == 1 else x[:, part[-1]]
        shifts = shift_y[part], shift_x[part]
        near = np.flatnonzero(_in_reach(sites, *_box(y_part, x_part, *shifts)))
        squares = [_square(sites[index], y_part, x_part, *shifts) for index in near]
        owner[part], other[part], edge[part] = _assign(near, squares, inverse)
    dy = (y - sites[:, 0][owner]).astype(np.float32) + shift_y
    dx = (x - sites[:, 1][owner]).astype(np.float32) + shift_x
    return Regions(owner, other, edge, dy, dx, ids, sites)


def pair_uniform(key: int, ids: NDArray[np.uint32]) -> F32:
    """Return `(n, n)` float32 in [0, 1): one number for each unordered pair of regions."""
    return uniform(key, np.bitwise_xor(ids[:, None], ids[None, :]), ids[:, None] + ids[None, :])


def _parts(shape: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """Cut points into parts: a small part has few sites to be compared with."""
    step = _PART if len(shape) == 2 else _PART**2
    axes = [[slice(a, a + step) for a in range(0, length, step)] for length in shape]
    return list(product(*axes))


def _assign(near: Index, squares: list[F32], inverse: F32) -> tuple[Index, Index, F32]:
    """Return owner, other and edge of a part, given the sites that matter and the squared distances to each."""
    owner, best = np.full(squares[0].shape, near[0]), squares[0].copy()
    for index, square in zip(near[1:], squares[1:], strict=True):
        nearer = square < best
        if nearer.any():
            owner[nearer] = index
            np.minimum(best, square, out=best)
    other, edge = owner.copy(), np.full(best.shape, REACH_M, np.float32)
    for index, square in zip(near, squares, strict=True):
        # Distance to the line half-way between the two sites; a site has no such line with itself.
        distance = (square - best) * inverse[index][owner]
        nearer = (distance < edge) & (owner != index)
        if nearer.any():
            np.copyto(edge, distance, where=nearer)
            np.copyto(other, index, where=nearer)
    return owner, other, edge


def _square(site: F64, y: F64, x: F64, shift_y: F32, shift_x: F32) -> F32:
    dy = (y - site[0]).astype(np.float32) + shift_y
    dx = (x - site[1]).astype(np.float32) + shift_x
    return np.asarray(dy * dy + dx * dx)


def _box(y: F64, x: F64, shift_y: F32, shift_x: F32) -> tuple[F64, F64]:
    """Return the lowest and the highest `(y, x)` that warped points can have."""
    low = np.array([y.min() + shift_y.min(), x.min() + shift_x.min()])
    high = np.array([y.max() + shift_y.max(), x.max() + shift_x.max()])
    return low, high


def _sites(
    key: int, spacing: float, y: F64, x: F64, shift_y: F32, shift_x: F32
) -> tuple[NDArray[np.uint32], F64]:
    """Return names and places of every site that can own a point or have its edge within reach of one."""
    low, high = _box(y, x, shift_y, shift_x)
    first, last = np.floor(low / spacing).astype(int) - 2, np.floor(high / spacing).astype(int) + 3
    row, column = np.meshgrid(np.arange(first[0], last[0]), np.arange(first[1], last[1]), indexing="ij")
    cells = np.stack([row.ravel(), column.ravel()], axis=1)
    jitter = np.stack([uniform(key ^ salt, cells[:, 0], cells[:, 1]) for salt in (1, 2)], axis=1) - 0.5
    sites = (cells + 0.5 + jitter.astype(np.float64) * _JITTER) * spacing
    keep = _in_reach(sites, low, high)
    return bits(key, cells[keep, 0], cells[keep, 1]), sites[keep]


def _in_reach(sites: F64, low: F64, high: F64) -> NDArray[np.bool_]:
    """Say which sites can matter to points in a box; the others are too far to change a bit."""
    nearest = np.maximum(np.maximum(low - sites, sites - high), 0.0)
    farthest = np.maximum(np.abs(sites - low), np.abs(high - sites))
    # An edge with the owner i lies at least (d_j − d_i) / 2 away.
    limit = np.sqrt((farthest**2).sum(axis=1)).min() + 2 * REACH_M + 1.0
    return np.asarray((nearest**2).sum(axis=1) < limit**2)


def _inverse_distances(sites: F64) -> F32:
    apart = np.sqrt(((sites[:, None] - sites[None, :]) ** 2).sum(axis=2))
    np.fill_diagonal(apart, 1.0)
    return np.asarray((0.5 / apart).astype(np.float32))
