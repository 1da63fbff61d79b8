"""Structural similarity."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from rsmtl.metrics.metric import Part, Result, Sums
from rsmtl.metrics.windows import all_valid, begins_in_own, filled

WINDOW_PX = 11
SIGMA_PX = 1.5


@dataclass(frozen=True)
class Ssim:
    """Structural similarity index, the mean over windows and bands.

    Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural similarity", IEEE
    TIP 2004: Gaussian weights of σ = 1.5 over 11×11 pixels, K₁ = 0.01, K₂ = 0.03, and only windows that lie within the
    scene. scikit-image agrees with `gaussian_weights=True, use_sample_covariance=False`, torchmetrics with its defaults
    away from the edge, where it pads.
    """

    data_range: float
    """1 for network values, 2047 for DN of 11 bits."""
    context_px = WINDOW_PX - 1

    def sums(self, part: Part) -> Sums:
        """Return the sum of the index over windows and bands, and how many there are, `(2,)`."""
        counted = all_valid(part, WINDOW_PX)
        if not counted.any():
            return np.zeros(2)
        x, y = (filled(a, part.valid) for a in (part.reference, part.estimate))
        maps = self._map(x, y)[:, *begins_in_own(part, WINDOW_PX)][:, counted]
        return np.array([maps.sum(), maps.size])

    def result(self, sums: Sums) -> Result:
        """Return `ssim`."""
        return {"ssim": float(sums[0] / sums[1]) if sums[1] else float("nan")}

    def _map(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        c1, c2 = (0.01 * self.data_range) ** 2, (0.03 * self.data_range) ** 2
        mean_x, mean_y = _weighted(x), _weighted(y)
        var_x = _weighted(x * x) - mean_x * mean_x
        var_y = _weighted(y * y) - mean_y * mean_y
        covariance = _weighted(x * y) - mean_x * mean_y
        luminance = (2 * mean_x * mean_y + c1) / (mean_x * mean_x + mean_y * mean_y + c1)
        return luminance * (2 * covariance + c2) / (var_x + var_y + c2)


def _weighted(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian means of `(bands, H, W)` over whole windows; element i begins at i."""
    offsets = np.arange(WINDOW_PX) - WINDOW_PX // 2
    kernel = np.exp(-(offsets**2) / (2 * SIGMA_PX**2))
    kernel /= kernel.sum()
    means = correlate1d(
        correlate1d(values, kernel, axis=-2, mode="constant"), kernel, axis=-1, mode="constant"
    )
    reach = WINDOW_PX // 2
    return np.asarray(means[:, reach : means.shape[1] - reach, reach : means.shape[2] - reach])
