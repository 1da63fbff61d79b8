"""Universal image quality: Q of single bands, Q2ⁿ of all bands together as one hypercomplex number."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rsmtl.metrics.metric import Part, Result, Sums
from rsmtl.metrics.windows import all_valid, begins_in_own, box_sums, filled

FLAT = 1e-12
"""A window whose variance is below this share of its mean square is flat: what is left is rounding."""


@dataclass(frozen=True)
class QIndex:
    """The universal image quality index of each band, averaged over the windows and then over the bands.

    Wang and Bovik, "A universal image quality index", IEEE Signal Processing Letters 2002: with sample moments over
    8×8 pixels at every pixel, 4 cov(x, y) x̄ ȳ / ((var x + var y)(x̄² + ȳ²)), from −1 to 1. By the index's convention,
    two flat windows are compared by their means alone, 2 x̄ ȳ / (x̄² + ȳ²), and two windows of zeros are equal.

    torchmetrics' index of this name has a Gaussian window, and that of sewar takes window means where the formula has
    sums; neither is this one.
    """

    window_px: int = 8
    """A power of two."""

    @property
    def context_px(self) -> int:
        """A window less its first pixel."""
        return self.window_px - 1

    def sums(self, part: Part) -> Sums:
        """Return for each band the sum of the index over windows, and how many there are, `(bands, 2)`."""
        counted = all_valid(part, self.window_px)
        x, y = (filled(a, part.valid) for a in (part.reference, part.estimate))
        maps = q_map(x, y, self.window_px)[:, *begins_in_own(part, self.window_px)]
        n = np.full(len(maps), counted.sum(), dtype=np.float64)
        return np.stack([maps[:, counted].sum(axis=1), n], axis=1)

    def result(self, sums: Sums) -> Result:
        """Return `q`, the mean over bands."""
        return {"q": float(_ratio(sums[:, 0], sums[:, 1]).mean())}


def q_map(x: NDArray[np.float64], y: NDArray[np.float64], window_px: int) -> NDArray[np.float64]:
    """Return the index of every window of two arrays `(…, H, W)`, `(…, H − window + 1, W − window + 1)`."""
    n = window_px**2
    sum_x, sum_y = box_sums(x, window_px), box_sums(y, window_px)
    square_x, square_y = box_sums(x * x, window_px), box_sums(y * y, window_px)
    covariance = n * box_sums(x * y, window_px) - sum_x * sum_y
    variances = n * (square_x + square_y) - (sum_x * sum_x + sum_y * sum_y)
    textured = variances > FLAT * n * (square_x + square_y)
    squares = sum_x * sum_x + sum_y * sum_y
    structure = np.divide(2 * covariance, variances, out=np.ones_like(variances), where=textured)
    luminance = np.divide(2 * sum_x * sum_y, squares, out=np.ones_like(squares), where=squares > 0)
    return structure * luminance


@dataclass(frozen=True)
class Q2n:
    """The quality index of all bands as one hypercomplex number: spectral distortion counts as well as spatial.

    Garzelli and Nencini, "Hypercomplex quality assessment of multi/hyperspectral images", IEEE GRSL 2009 (Q4 of
    Alparone et al. 2004 for four bands): the pixel's bands, padded with zeros to a power of two, are one number z of a
    Cayley–Dickson algebra; with moments over blocks of 32×32 pixels side by side,
    |σ_zw| / (σ_z σ_w) · 2 σ_z σ_w / (σ_z² + σ_w²) · 2 |z̄| |w̄| / (|z̄|² + |w̄|²), from 0 to 1, averaged over blocks. With
    one band it is |Q|. Blocks lie at multiples of their edge from the scene's first pixel; only whole ones count.

    No library that we know of has it. The pansharpening toolbox of Vivone et al. first shifts and scales each block by
    the reference's mean and deviation, band by band, which the paper does not; its figures differ.
    """

    block_px: int = 32

    @property
    def context_px(self) -> int:
        """A block less its first pixel."""
        return self.block_px - 1

    def sums(self, part: Part) -> Sums:
        """Return the sum of the index over blocks, and how many there are, `(2,)`."""
        found = [
            q2n_of_block(part.reference[:, y, x], part.estimate[:, y, x])
            for y, x in self._blocks(part)
            if part.valid[y, x].all()
        ]
        return np.array([sum(found), len(found)], dtype=np.float64)

    def result(self, sums: Sums) -> Result:
        """Return `q2n`."""
        return {"q2n": float(_ratio(sums[0], sums[1]))}

    def _blocks(self, part: Part) -> list[tuple[slice, slice]]:
        starts = []
        for own, origin, length in zip(part.own, part.origin, part.valid.shape, strict=True):
            first = own.start + -origin % self.block_px
            starts.append(range(first, min(own.stop, length - self.block_px + 1), self.block_px))
        edge = self.block_px
        return [(slice(y, y + edge), slice(x, x + edge)) for y in starts[0] for x in starts[1]]


def q2n_of_block(reference: NDArray[np.floating], estimate: NDArray[np.floating]) -> float:
    """Return the hypercomplex index of two blocks `(bands, H, W)`."""
    n = 1 << (len(reference) - 1).bit_length()
    z, w = (_padded(a.reshape(len(a), -1).astype(np.float64), n) for a in (reference, estimate))
    mean_z, mean_w = z.mean(axis=1), w.mean(axis=1)
    z, w = z - mean_z[:, None], w - mean_w[:, None]
    covariance = np.einsum("kij,ij->k", conjugate_products(n), z @ w.T / z.shape[1])
    variances = (z * z).sum() / z.shape[1] + (w * w).sum() / w.shape[1]
    squares = mean_z @ mean_z + mean_w @ mean_w
    flat = variances <= FLAT * (variances + squares)
    structure = 1.0 if flat else 2 * float(np.linalg.norm(covariance)) / variances
    means = 2 * float(np.linalg.norm(mean_z) * np.linalg.norm(mean_w))
    return structure * (means / squares if squares else 1.0)


@lru_cache(maxsize=8)
def conjugate_products(n: int) -> NDArray[np.float64]:
    """Return `(n, n, n)`: component k of e_i times the conjugate of e_j, for the Cayley–Dickson algebra of dimension n.

    Its product is (a, b)(c, d) = (a c − d̄ b, d a + b c̄).
    """
    signs = _signs(n) * np.where(np.arange(n) == 0, 1, -1)[None, :]
    table = np.zeros((n, n, n))
    rows, cols = np.indices((n, n))
    table[rows ^ cols, rows, cols] = signs
    return table


def _signs(n: int) -> NDArray[np.int64]:
    """Return s with e_i e_j = s[i, j] e_(i xor j), by doubling the algebra of half the dimension."""
    if n == 1:
        return np.ones((1, 1), dtype=np.int64)
    half = _signs(n // 2)
    conjugate = np.where(np.arange(n // 2) == 0, 1, -1)
    upper_right = half.T  # (a, 0)(0, d) = (0, d a)
    lower_left = half * conjugate[None, :]  # (0, b)(c, 0) = (0, b c̄)
    lower_right = -half.T * conjugate[None, :]  # (0, b)(0, d) = (−d̄ b, 0)
    return np.block([[half, upper_right], [lower_left, lower_right]])


def _padded(values: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    return np.pad(values, ((0, n - len(values)), (0, 0)))


def _ratio(over: NDArray[np.float64], under: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide; NaN of nothing."""
    return np.asarray(
        np.divide(over, under, out=np.full(np.shape(over), np.nan), where=np.asarray(under) > 0)
    )
