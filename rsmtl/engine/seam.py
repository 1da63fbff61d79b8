"""What the seam check says of one output: a verdict, its figures, and the words for them."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["no grid", "bands", "steps", "in the scene", "too few lines"]
Unit = Literal["DN", "", "% of the pixels", "% of probability"]


@dataclass(frozen=True)
class Seam:
    """What was found of an output where windows overlap; of several contrasts the one that tells most."""

    output: str
    verdict: Verdict
    n_lines: int
    """Lines between windows that were looked at, horizontal and vertical ones."""
    unit: Unit
    """Of the figures below: stored values, whole numbers (`DN`) or not; of a class map the share of pixels, of
    probabilities and confidences what they stand for."""
    width_px: int = 0
    """Of the band, or of the ground on either side of the step, in pixels of the output."""
    amplitude: float = 0.0
    """How much more a band has than the ground around it; or how large the step is at the lines."""
    elsewhere: float = 0.0
    """The same at other places, on average."""
    noise: float = 0.0
    """Standard deviation of the same over other places, as many at a time as there are lines."""
    chance: float = 1.0
    """How often as many places taken at random have a contrast that stands out as much."""
    channel: str = ""
    """The band, or the class, that shows it most; empty for steps of either sign, which are taken over all."""
    compared: bool = False
    """Whether what stands out was compared with the scene itself."""

    @property
    def is_grid(self) -> bool:
        """Whether the windows show."""
        return self.verdict in ("bands", "steps")

    @property
    def words(self) -> str:
        """Say what was found, as a phrase."""
        if self.verdict == "no grid":
            return "no visible grid"
        if self.verdict == "in the scene":
            return "no visible grid (what repeats as the windows do is in the scene itself)"
        if self.verdict == "too few lines":
            return "too few windows to tell"
        told = self._bands() if self.verdict == "bands" else self._steps()
        return told if self.compared else f"{told} (not compared with the scene, which cannot be opened)"

    def _bands(self) -> str:
        more = self.amplitude > 0
        how = {
            "% of the pixels": f"{'more' if more else 'less'} {self.channel!r}",
            "% of probability": "high" if more else "low",
        }.get(self.unit, "bright" if more else "dark")
        return f"a grid of {self.width_px} px bands, {self._told(abs(self.amplitude))} {how}"

    def _steps(self) -> str:
        beside = "" if self.channel else f", {self._told(self.elsewhere)} elsewhere"
        return f"steps of {self._told(abs(self.amplitude))} between windows{beside}"

    def _told(self, value: float) -> str:
        number = f"{value:.0f}" if value >= 99.5 else f"{value:.2g}"
        return f"{number} {self.unit}".strip()
