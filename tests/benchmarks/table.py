"""What a benchmark says: rows of a table, each a ratio that was measured in pairs within one run."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple


@dataclass(frozen=True)
class Options:
    """What is asked of every benchmark."""

    folder: Path
    """For scenes and products; it is emptied afterwards."""
    plots: Path
    """For pictures, which stay."""
    size_px: int
    """Edge of the scene where nothing else is said."""
    n_workers: int
    n_pairs: int
    """Times that each comparison is repeated."""
    n_blocks: int = 160
    """Of the fidelity: blocks of each scene that are held against a window of their own."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where models run; on CUDA each worker has a GPU of its own, and several threads."""


@dataclass(frozen=True)
class Row:
    """One comparison."""

    part: str
    """Letter of the benchmark."""
    what: str
    ours: float
    other: float
    """What it is compared with."""
    unit: str
    """Of `ours` and `other`."""
    ratio: float
    """The median over pairs, not the ratio of medians; above one is good if the aim says `≥`."""
    aim: str = ""
    """As `≥ 1.2` or `≤ 1.05`; empty if nothing was aimed at."""

    @property
    def is_reached(self) -> bool | None:
        """Whether the aim is; None if there is none."""
        if not self.aim:
            return None
        sign, number = self.aim.split()
        return self.ratio >= float(number) if sign == "≥" else self.ratio <= float(number)


class Pairs(NamedTuple):
    """Two sides that took turns; medians."""

    first: float
    second: float
    ratio: float
    """First over second."""


def in_pairs(first: Callable[[], float], second: Callable[[], float], n_pairs: int) -> Pairs:
    """Measure two sides in turn, so that a machine whose speed drifts slows both.

    Each side does its work and returns what it measured of it: seconds, bytes.
    """
    pairs = [(first(), second()) for _ in range(n_pairs)]
    return Pairs(
        statistics.median(one for one, _ in pairs),
        statistics.median(other for _, other in pairs),
        statistics.median(one / other for one, other in pairs),
    )
