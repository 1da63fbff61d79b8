"""Metrics from errors pixel by pixel: PSNR, ERGAS, SAM."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from rsmtl.metrics.metric import Part, Result, Sums


@dataclass(frozen=True)
class Psnr:
    """Peak signal-to-noise ratio in dB, 10 log₁₀(R² / MSE), the MSE over all bands and pixels of the scene.

    torchmetrics defines it the same way; ours keeps no state, as parts of a scene are measured by many processes.
    """

    data_range: float
    """R: 1 for network values, 2047 for DN of 11 bits."""
    context_px = 0

    def sums(self, part: Part) -> Sums:
        """Return `[sum of squared errors, number of values]`."""
        reference, estimate = part.own_pixels()
        return np.array([np.square(reference - estimate).sum(), reference.size])

    def result(self, sums: Sums) -> Result:
        """Return `psnr_db`; infinite if nothing differs."""
        return {"psnr_db": psnr(sums, self.data_range)}


@dataclass(frozen=True)
class Ergas:
    """Relative dimensionless global error of synthesis, 100 (h/l) √(mean over bands of (RMSE / μ)²); 0 is perfect.

    Wald, "Data fusion: definitions and architectures", 2002. h/l is the GSD of PAN over that of MS, 1/4 for a 4:1
    pair, and μ the mean of the reference band.

    torchmetrics takes l/h as its `ratio` and averages over images; sewar multiplied by l/h before July 2023, among
    other errors.
    """

    ratio: Fraction
    """h/l."""
    context_px = 0

    def sums(self, part: Part) -> Sums:
        """Return for each band `[sum of squared errors, sum of the reference, number of pixels]`, `(bands, 3)`."""
        reference, estimate = part.own_pixels()
        n = np.full(len(reference), reference.shape[1], dtype=np.float64)
        return np.stack([np.square(reference - estimate).sum(axis=1), reference.sum(axis=1), n], axis=1)

    def result(self, sums: Sums) -> Result:
        """Return `ergas`; NaN where a band's mean is zero."""
        squared, total, n = sums.T
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = np.where(total != 0, squared * n / np.square(total), np.nan)
        return {"ergas": float(100 * self.ratio * np.sqrt(relative.mean()))}


@dataclass(frozen=True)
class Sam:
    """Spectral angle: the mean over pixels of the angle between the spectra, in degrees; 0 is perfect.

    Yuhas, Goetz, Boardman, "Discrimination among semi-arid landscape endmembers using the spectral angle mapper (SAM)
    algorithm", 1992. A pixel that is zero in all bands of either has no angle and does not count. torchmetrics gives
    radians, and an angle to such pixels.
    """

    context_px = 0

    def sums(self, part: Part) -> Sums:
        """Return `[sum of angles in radians, number of pixels]`."""
        reference, estimate = part.own_pixels()
        lengths = np.linalg.norm(reference, axis=0) * np.linalg.norm(estimate, axis=0)
        known = lengths > 0
        cosines = (reference * estimate).sum(axis=0)[known] / lengths[known]
        return np.array([np.arccos(np.clip(cosines, -1, 1)).sum(), known.sum()])

    def result(self, sums: Sums) -> Result:
        """Return `sam_deg`."""
        return {"sam_deg": float(np.degrees(sums[0] / sums[1])) if sums[1] else float("nan")}


def squared_error(
    reference: NDArray[np.floating], estimate: NDArray[np.floating], valid: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Return `[sum of squared errors, number of values]`, float64; such pairs add up over images.

    Parameters
    ----------
    reference, estimate
        `(bands, H, W)`.
    valid
        `(H, W)`, True where pixels count; all do unless given.
    """
    error = reference.astype(np.float64) - estimate
    error = error if valid is None else error[:, valid]
    return np.array([np.square(error).sum(), error.size])


def psnr(sums: NDArray[np.float64], data_range: float) -> float:
    """Return the peak signal-to-noise ratio in dB, `10 log₁₀(R² / MSE)`, of added `squared_error` pairs.

    The MSE is that of everything that was added; add one image for its own PSNR. `data_range` R is 1 for
    network values and 2047 for 11-bit DN. Equal images give infinity, no values NaN.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(10 * np.log10(data_range**2 * sums[1] / sums[0]))
