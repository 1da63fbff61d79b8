"""Between stored values and what the network sees: fixed per model or per scene, never per window."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, model_validator


class Radiometry(BaseModel):
    """An affine map per band that takes `low` to 0 and `high` to 1.

    `kind="fixed"` belongs to the model: `low` and `high` are numbers of the input's physical values (after the
    file's own scale and offset), such as 0 and 2047 for 11 bits. `kind="percentile"` is measured once per
    scene: `low` and `high` are then percentiles, and `fit` turns them into numbers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["fixed", "percentile"] = "fixed"
    low: tuple[float, ...] = (0.0,)
    """One number for all bands, or one per band."""
    high: tuple[float, ...] = (1.0,)

    @model_validator(mode="after")
    def _ordered(self) -> "Radiometry":
        if len(self.low) != len(self.high) or any(
            high <= low for low, high in zip(self.low, self.high, strict=True)
        ):
            raise ValueError(f"each `high` must exceed its `low`, got low={self.low} and high={self.high}")
        if self.kind == "percentile" and not all(0 <= p <= 100 for p in (*self.low, *self.high)):
            raise ValueError(f"percentiles lie between 0 and 100, got low={self.low} and high={self.high}")
        return self

    def fit(self, sample: NDArray[np.floating]) -> "Radiometry":
        """Return the fixed radiometry of a scene.

        Parameters
        ----------
        sample
            `(bands, n)` or `(bands, H, W)` values of the scene, NaN where invalid. A fixed radiometry ignores it.
        """
        if self.kind == "fixed":
            return self
        flat = sample.reshape(sample.shape[0], -1)
        flat = flat[:, np.isfinite(flat).all(axis=0)].astype(np.float64)
        if flat.shape[1] == 0:  # nothing valid: nothing will be run, any map will do
            return Radiometry()
        low, high = (np.percentile(flat, p[0], axis=1) for p in (self.low, self.high))
        high = np.where(high > low, high, low + 1.0)  # a flat band: avoid dividing by zero
        return Radiometry(low=tuple(low.tolist()), high=tuple(high.tolist()))

    def to_network(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map physical values `(bands, H, W)` to network values, float32. NaN stays NaN."""
        low, span = self._low_span()
        return ((values - low.astype(np.float32)) * (1.0 / span).astype(np.float32)).astype(
            np.float32, copy=False
        )

    def to_physical(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map network values `(bands, H, W)` back to physical values, float64. NaN stays NaN."""
        low, span = self._low_span()
        return values * span + low

    def _low_span(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if self.kind != "fixed":
            raise ValueError("a percentile radiometry must be fitted to a scene before use")
        low, high = (np.array(v, dtype=np.float64)[:, None, None] for v in (self.low, self.high))
        return low, high - low
