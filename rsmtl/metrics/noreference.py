"""Quality of a pansharpened image without a reference: how bands and PAN are alike before and after."""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter

from rsmtl.metrics.metric import Part, Result, Sums
from rsmtl.metrics.quality import Q2n, q_map
from rsmtl.metrics.windows import all_valid, begins_in_own, filled

Array = NDArray[np.float64]

FINE_WINDOW_PX = 32
"""Of PAN and the fused image; on the grid of MS, windows cover the same ground."""
NYQUIST_GAIN = 0.3
"""Of the Gaussian that stands for the sensor's modulation transfer function, at MS's Nyquist frequency."""
MTF_REACH = 2
"""MS pixels to each side that the Gaussian takes in: four deviations."""


@dataclass(frozen=True)
class FusedPart:
    """A rectangle of a scene in PAN, MS and the fused image, with its context, on the grid of MS."""

    pan: NDArray[Any]
    """`(1, r H, r W)`."""
    ms: NDArray[Any]
    """`(bands, H, W)`."""
    fused: NDArray[Any]
    """`(bands, r H, r W)`, in the values of MS."""
    valid: NDArray[np.bool_]
    """`(H, W)`: MS pixels that are valid in all three, PAN pixels below them included."""
    own: tuple[slice, slice]
    """In MS pixels."""
    origin: tuple[int, int] = (0, 0)
    """Of the rectangle in the scene, in MS pixels."""


@dataclass(frozen=True)
class NoReference:
    """D_λ, D_s and QNR; D_λ of Khan and HQNR.

    Alparone, Aiazzi, Baronti, Garzelli, Nencini, Selva, "Multispectral and panchromatic data fusion assessment without
    reference", PERS 2008, with exponents of 1: D_λ is the mean over pairs of bands of |Q(fused) − Q(MS)|, D_s the mean
    over bands of |Q(fused, PAN) − Q(MS, PAN brought down to MS)|, QNR = (1 − D_λ)(1 − D_s). PAN is brought down by
    the mean of r×r pixels, and Q, the index of `QIndex`, is taken over windows of 32×32 PAN pixels and 32/r × 32/r MS
    pixels. Khan, Alparone, Chanussot, "Pansharpening quality assessment using the modulation transfer functions of
    instruments", TGRS 2009, replaces D_λ by 1 − Q2ⁿ(MS, fused brought down to MS by the sensor's Gaussian), and QNR so
    becomes HQNR.

    torchmetrics takes its Q with a Gaussian window, and upsamples MS for D_λ; its figures differ.
    """

    ratio: int
    """r: PAN pixels per MS pixel along an axis; 2, 4, 8 or 16."""

    @property
    def context_px(self) -> tuple[int, int]:
        """MS pixels above and to the left, and below and to the right, of a rectangle."""
        return MTF_REACH, Q2n().context_px + MTF_REACH

    def sums(self, part: FusedPart) -> Sums:
        """Return a row for each pair of bands, one for each band, and one for Q2ⁿ: `[ΣQ fine, n, ΣQ coarse, n]`.

        Raises
        ------
        ValueError
            If the fused image has not the bands of MS.
        """
        if len(part.fused) != len(part.ms):
            raise ValueError(f"{len(part.fused)} fused band(s) and {len(part.ms)} of MS must be as many")
        r = self.ratio
        own = tuple(slice(s.start * r, s.stop * r) for s in part.own)
        fine = Part(part.pan, part.fused, part.valid.repeat(r, 0).repeat(r, 1), (own[0], own[1]))
        coarse = Part(_box_mean(part.pan, r), part.ms, part.valid, part.own)
        pairs = [*combinations(range(len(part.ms)), 2), *((band, -1) for band in range(len(part.ms)))]
        fine_sums, coarse_sums = (
            _q_sums(p, size, pairs) for p, size in ((fine, FINE_WINDOW_PX), (coarse, FINE_WINDOW_PX // r))
        )
        khan = Q2n().sums(self._brought_down(part))
        return np.concatenate([np.hstack([fine_sums, coarse_sums]), [[*khan, 0, 0]]])

    def result(self, sums: Sums) -> Result:
        """Return `d_lambda`, `d_s`, `qnr`, `d_lambda_khan` and `hqnr`; NaN where no window is valid."""
        n_bands = int((np.sqrt(8 * len(sums) - 7) - 1) / 2)  # n (n − 1) / 2 pairs, n bands, and one row
        with np.errstate(divide="ignore", invalid="ignore"):
            change = np.abs(sums[:-1, 0] / sums[:-1, 1] - sums[:-1, 2] / sums[:-1, 3])
            khan = 1 - sums[-1, 0] / sums[-1, 1]
        spectral = float(change[:-n_bands].mean()) if n_bands > 1 else 0.0
        spatial = float(change[-n_bands:].mean())
        return {
            "d_lambda": spectral,
            "d_s": spatial,
            "qnr": (1 - spectral) * (1 - spatial),
            "d_lambda_khan": float(khan),
            "hqnr": float((1 - khan) * (1 - spatial)),
        }

    def _brought_down(self, part: FusedPart) -> Part:
        near = minimum_filter(part.valid, size=2 * MTF_REACH + 1, mode="nearest")
        fused = filled(part.fused, part.valid.repeat(self.ratio, 0).repeat(self.ratio, 1))
        return Part(part.ms, bring_down(fused, self.ratio), near, part.own, part.origin)


def bring_down(fine: Array, ratio: int) -> Array:
    """Return an image `(bands, r H, r W)` as the MS sensor would see it, `(bands, H, W)`.

    A Gaussian whose gain at MS's Nyquist frequency is 0.3, centred on each MS pixel; beyond the edge it is mirrored.
    """
    sigma = ratio / np.pi * np.sqrt(-2 * np.log(NYQUIST_GAIN))
    n = (2 * MTF_REACH + 1) * ratio
    kernel = np.exp(-((np.arange(n) - (n - 1) / 2) ** 2) / (2 * sigma**2))
    kernel /= kernel.sum()
    beyond = MTF_REACH * ratio
    padded = np.pad(fine, ((0, 0), (beyond, beyond), (beyond, beyond)), mode="symmetric")
    rows = sliding_window_view(padded, n, axis=1)[:, ::ratio] @ kernel
    return np.asarray(sliding_window_view(rows, n, axis=2)[:, :, ::ratio] @ kernel)


def _box_mean(pan: NDArray[Any], ratio: int) -> Array:
    bands, height, width = pan.shape
    blocks = pan.astype(np.float64).reshape(bands, height // ratio, ratio, width // ratio, ratio)
    return np.asarray(blocks.mean(axis=(2, 4)))


def _q_sums(part: Part, window_px: int, pairs: list[tuple[int, int]]) -> Array:
    """Sum Q over windows for pairs of the estimate's bands, −1 being PAN, and count the windows: `(pairs, 2)`."""
    counted = all_valid(part, window_px)
    where = begins_in_own(part, window_px)
    images = np.concatenate([filled(part.estimate, part.valid), filled(part.reference, part.valid)])
    found = [q_map(images[one], images[other], window_px)[where][counted].sum() for one, other in pairs]
    return np.array([[total, counted.sum()] for total in found], dtype=np.float64)
