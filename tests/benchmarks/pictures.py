"""Pictures of what was measured: large letters, and an axis that begins at zero."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

COLORS = ("#0b6e99", "#d9730d", "#7a7a7a", "#448361")
_FONT_PT = 13


def curves(
    path: Path,
    title: str,
    labels: tuple[str, str],
    drawn: Mapping[str, Sequence[tuple[float, float]]],
    dashed: Sequence[str] = (),
) -> None:
    """Draw curves; `labels` are those of the axes, x first.

    Parameters
    ----------
    drawn
        By name, points `(x, y)`.
    dashed
        Names of the curves that were not measured, but show what is aimed at.
    """
    figure = Figure(figsize=(9, 5), dpi=150, layout="constrained")
    axes = figure.subplots()
    for color, (name, points) in zip(COLORS, drawn.items(), strict=False):
        x, y = zip(*points, strict=True)
        style = {"linestyle": "--"} if name in dashed else {"marker": "o", "linewidth": 2.5}
        axes.plot(x, y, color=color, label=name, **style)
    ticks = sorted({x for points in drawn.values() for x, _ in points})
    axes.set_xticks(ticks, [f"{tick:,g}" for tick in ticks], fontsize=_FONT_PT)
    axes.set_ylim(bottom=0)
    axes.tick_params(axis="y", labelsize=_FONT_PT)
    axes.set_xlabel(labels[0], fontsize=_FONT_PT)
    axes.set_ylabel(labels[1], fontsize=_FONT_PT)
    axes.set_title(title, fontsize=_FONT_PT + 3, loc="left", pad=12)
    axes.grid(axis="y", color="#e0e0e0")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=_FONT_PT)
    figure.savefig(path)
