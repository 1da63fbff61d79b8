"""Correlation of spatial detail."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsmtl.metrics.metric import Part, Result, Sums
from rsmtl.metrics.windows import all_valid, begins_in_own, filled

WINDOW_PX = 3


@dataclass(frozen=True)
class Scc:
    """Spatial correlation coefficient: of the high frequencies of each band, averaged over bands; 1 is perfect.

    Zhou, Civco, Silander, "A wavelet transform method to merge Landsat TM and SPOT panchromatic data", IJRS 1998: both
    images go through the Laplacian that is 8 in the middle and −1 around, and one correlation is taken over the scene.
    torchmetrics and sewar instead average correlations over windows of 8×8 pixels.
    """

    context_px = WINDOW_PX - 1

    def sums(self, part: Part) -> Sums:
        """Return for each band `[n, Σx, Σy, Σx², Σy², Σxy]` of the filtered images, `(bands, 6)`."""
        counted = all_valid(part, WINDOW_PX)
        if not counted.any():
            return np.zeros((len(part.reference), 6))
        where = begins_in_own(part, WINDOW_PX)
        x, y = (
            laplacian(filled(a, part.valid))[:, *where][:, counted] for a in (part.reference, part.estimate)
        )
        ones = np.ones_like(x)
        return np.stack([a.sum(axis=1) for a in (ones, x, y, x * x, y * y, x * y)], axis=1)

    def result(self, sums: Sums) -> Result:
        """Return `scc`; NaN where a band has no detail."""
        n, x, y, xx, yy, xy = sums.T
        with np.errstate(divide="ignore", invalid="ignore"):
            found = (n * xy - x * y) / np.sqrt((n * xx - x * x) * (n * yy - y * y))
        return {"scc": float(found.mean())}


def laplacian(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 9 times the middle of 3×3 pixels less their sum, for `(bands, H, W)`; element i begins at i."""
    height, width = values.shape[-2:]
    total = np.zeros((*values.shape[:-2], height - 2, width - 2))
    for row in range(WINDOW_PX):
        for col in range(WINDOW_PX):
            total += values[..., row : row + height - 2, col : col + width - 2]
    return 9 * values[..., 1:-1, 1:-1] - total
