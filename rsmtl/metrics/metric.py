"""What a metric is: numbers of a part of a scene that add up, and what their sum over the scene means."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Sums = NDArray[np.float64]
"""What a metric adds up over parts: sums of parts are the sums of the whole."""
Result = dict[str, Any]
"""Plain numbers by name, some of them by class or by band; NaN where one has no meaning."""


@dataclass(frozen=True)
class Part:
    """A rectangle of a scene, and what lies around it as far as the scene goes."""

    reference: NDArray[Any]
    """`(bands, H, W)`; a class map has one band."""
    estimate: NDArray[Any]
    """Of the same shape."""
    valid: NDArray[np.bool_]
    """`(H, W)`: pixels that count."""
    own: tuple[slice, slice]
    """The rectangle within these arrays. What is counted by pixels counts its pixels; what is counted by windows counts
    the windows that begin in it (whose upper left pixel lies in it), whole ones only, with all pixels valid."""
    origin: tuple[int, int] = (0, 0)
    """Of the rectangle in the scene, `(y, x)`."""

    def own_pixels(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return reference and estimate of the rectangle's valid pixels, `(bands, n)` float64."""
        counted = self.valid[self.own]
        reference, estimate = (a[:, *self.own][:, counted] for a in (self.reference, self.estimate))
        return reference.astype(np.float64), estimate.astype(np.float64)


class Metric(Protocol):
    """A metric of an estimate against a reference."""

    @property
    def context_px(self) -> int:
        """Pixels below and to the right of the rectangle that windows which begin in it reach into."""

    def sums(self, part: Part) -> Sums:
        """Return what a part contributes; adding those of all parts gives that of the scene, however it is cut."""

    def result(self, sums: Sums) -> Result:
        """Return what the sum over a scene means."""


def whole(reference: NDArray[Any], estimate: NDArray[Any], valid: NDArray[np.bool_] | None = None) -> Part:
    """Return a scene in one part; all pixels are valid unless said.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if reference.shape != estimate.shape:
        raise ValueError(f"reference {reference.shape} and estimate {estimate.shape} must have one shape")
    height, width = reference.shape[1:]
    valid = np.ones((height, width), bool) if valid is None else valid
    return Part(reference, estimate, valid, (slice(0, height), slice(0, width)))


def measure(
    metric: Metric,
    reference: NDArray[Any],
    estimate: NDArray[Any],
    valid: NDArray[np.bool_] | None = None,
) -> Result:
    """Return a metric of whole arrays `(bands, H, W)`; errors as `whole`."""
    return metric.result(metric.sums(whole(reference, estimate, valid)))
