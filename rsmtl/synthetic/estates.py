"""Estates and their plots: what is drawn once for each, wherever it is seen from."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from rsmtl.synthetic import noise
from rsmtl.synthetic.materials import CLASS_OF, Class, M
from rsmtl.synthetic.noise import F32
from rsmtl.synthetic.regions import Regions

K = 28
"""Strips that a table holds per estate, and plots per strip; number `K // 2` begins near the estate's site."""


class Border(IntEnum):
    """What runs along the border between two plots."""

    NONE = 0
    BALK = 1
    HEDGE = 2
    STREET = 3


@dataclass(frozen=True)
class Plots:
    """What is drawn per plot, `(n · K · K,)` each."""

    town: NDArray[np.bool_]
    material: NDArray[np.uint8]
    tone: F32
    tree_density: F32
    row_spacing_m: F32


@dataclass(frozen=True)
class Estates:
    """What is drawn once per estate, strip and plot: `n` estates in sight."""

    town: NDArray[np.bool_]
    cosine: F32
    """`(n,)` of the angle at which the estate's strips lie."""
    sine: F32
    strip_m: F32
    """`(n,)` mean width of the strips."""
    strip_start: F32
    """`(n, K)` where each strip begins across."""
    strip_border: NDArray[np.uint8]
    """`(n, K)` the `Border` at that place."""
    plot_m: F32
    """`(n,)` mean length of the plots."""
    plot_start: F32
    """`(n, K, K)` where each plot begins along its strip."""
    plot_border: NDArray[np.uint8]
    """`(n, K, K)`."""
    plots: Plots


def estates(seed: int, lands: Regions) -> Estates:
    """Draw the strips and plots of each region of land."""
    ids, count = lands.ids, len(lands.ids)

    def draw(salt: int, *shape: int) -> F32:
        grid = [
            np.arange(size).reshape([-1 if a == axis else 1 for a in range(len(shape))])
            for axis, size in enumerate(shape)
        ]
        first = ids.reshape(-1, *[1] * len(shape))
        return noise.uniform(noise.key(seed, 40, salt), first, *grid)

    settled = noise.spline_noise(noise.key(seed, 41), 420.0, lands.sites[:, 0], lands.sites[:, 1])
    town = settled + 0.5 * (draw(0) - np.float32(0.5)) > 0.65
    cosine, sine = _directions(draw(1))
    strip_m = np.where(town, 58 + 14 * draw(2), 42 + 75 * draw(2) * draw(3)).astype(np.float32)
    plot_m = np.where(town, 110 + 60 * draw(4), 110 + 170 * draw(4)).astype(np.float32)
    number = np.arange(K, dtype=np.float32) - np.float32(K // 2)
    strip_start = (number + 0.36 * (draw(5, K) - np.float32(0.5))) * strip_m[:, None]
    plot_start = (number + 0.5 * (draw(6, K, K) - np.float32(0.5))) * plot_m[:, None, None]
    strip_border = np.where(town[:, None], Border.STREET, _pick(draw(7, K), (0.12, 0.42, 0.34, 0.12)))
    in_town = _pick(draw(8, K, K), (0.0, 0.3, 0.2, 0.5))
    plot_border = np.where(town[:, None, None], in_town, _pick(draw(8, K, K), (0.2, 0.5, 0.3, 0.0)))
    plots = _plots(np.broadcast_to(town[:, None, None], (count, K, K)), lambda salt: draw(salt, K, K))
    return Estates(
        town,
        cosine,
        sine,
        strip_m,
        strip_start.astype(np.float32),
        strip_border.astype(np.uint8),
        plot_m,
        plot_start.astype(np.float32),
        plot_border.astype(np.uint8),
        plots,
    )


def _directions(turn: F32) -> tuple[F32, F32]:
    """Return unit vectors spread over the half circle, made without trigonometry (rational parametrisation)."""
    t = (turn * np.float32(2) - np.float32(1)).astype(np.float32)
    square = t * t
    return (1 - square) / (1 + square), 2 * t / (1 + square)


def _pick(draws: F32, shares: tuple[float, ...]) -> NDArray[np.intp]:
    """Return a number for each draw, `i` with a chance of `shares[i]`."""
    number = np.zeros(draws.shape, np.intp)
    for edge in np.cumsum(np.array(shares[:-1], np.float64)):
        number += draws.astype(np.float64) >= edge
    return number


_CROP_SHARES = {
    "wheat": 0.20,
    "maize": 0.10,
    "beet": 0.09,
    "rapeseed": 0.10,
    "ripe grain": 0.11,
    "stubble": 0.06,
    "ploughed": 0.09,
    "harrowed": 0.07,
    "meadow": 0.12,
    "dry meadow": 0.06,
}


def _plots(town: NDArray[np.bool_], draw: Callable[[int], F32]) -> Plots:
    crop = np.array([M[name] for name in _CROP_SHARES], np.uint8)[
        _pick(draw(10), tuple(_CROP_SHARES.values()))
    ]
    copse, orchard = draw(11) < 0.05, draw(12) < 0.03
    material = np.where(orchard, M["meadow"], np.where(copse, M["leaves"], crop))
    material = np.where(town, M["garden"], material)
    density = np.where(copse, 1.0, np.where(orchard, 0.6, np.where(CLASS_OF[crop] == Class.GRASS, 0.02, 0.0)))
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
