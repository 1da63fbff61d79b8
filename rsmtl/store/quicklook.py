"""`quicklook.png`: the scene and its heads side by side, small, with a legend."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from rasterio.enums import Resampling

from rsmtl.models.spec import ClassSpec
from rsmtl.store.folder import QUICKLOOK_NAME, cog_path, replacing
from rsmtl.store.output import Output

EDGE_PX = 1024
"""A panel's longer edge shows at most as many pixels."""

_PANEL_IN, _DPI = 5.0, 120
_EMPTY = 255
"""Pixels that are not valid are white, like the page."""


@dataclass(frozen=True)
class Panel:
    """One picture of a figure."""

    title: str
    pixels: NDArray[np.uint8]
    """`(H, W, 3)`."""
    classes: tuple[ClassSpec, ...] = ()
    """What its colours mean; for the legend."""


def write_quicklook(
    folder: Path, title: str, image: NDArray[np.floating[Any]], outputs: Sequence[Output]
) -> None:
    """Draw a product whose COGs stand.

    Parameters
    ----------
    image
        `(bands, H, W)` the reference input at reduced size, NaN where not valid.
    outputs
        Those of the product; confidences and probabilities are not drawn.

    Raises
    ------
    RunError
        If the picture cannot be written.
    """
    drawn = [output for output in outputs if output.name == output.head]
    panels = [Panel("input", stretched(image)), *(_panel(folder, output) for output in drawn)]
    draw(folder / QUICKLOOK_NAME, title, panels)


def draw(path: Path, title: str, panels: Sequence[Panel]) -> None:
    """Draw panels side by side under one title, with one legend for all their classes."""
    height, width = panels[0].pixels.shape[:2]
    shape = min(2.0, max(0.4, height / width))
    figure = Figure(
        figsize=(len(panels) * _PANEL_IN, shape * _PANEL_IN + 1.0), dpi=_DPI, layout="constrained"
    )
    figure.suptitle(title, fontsize=14)
    for axes, panel in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        axes.imshow(panel.pixels, interpolation="nearest" if panel.classes else "antialiased")
        axes.set_title(panel.title, fontsize=11)
        axes.set_axis_off()
    classes = dict.fromkeys(found for panel in panels for found in panel.classes)
    if classes:
        handles = [Patch(facecolor=_hex(found), label=found.name) for found in classes]
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=min(8, len(handles)),
            fontsize=11,
            frameon=False,
        )
    with replacing(path) as part:
        figure.savefig(part, format="png")


def stretched(values: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Return `(H, W, 3)` of the first three bands (or the first one in grey), for the eye.

    One stretch for all bands, from the 1st to the 99th percentile, keeps the colours natural.
    """
    shown = values[:3] if len(values) >= 3 else values[:1].repeat(3, axis=0)
    valid = np.isfinite(values).all(axis=0)
    low, high = np.percentile(shown[:, valid], (1, 99)) if valid.any() else (0.0, 1.0)
    with np.errstate(invalid="ignore"):
        light = np.clip((shown - low) / max(high - low, 1e-12), 0, 1) ** 0.8 * 255
    return np.where(valid, light, _EMPTY).astype(np.uint8).transpose(1, 2, 0)


def colored(values: NDArray[np.uint8], classes: tuple[ClassSpec, ...]) -> NDArray[np.uint8]:
    """Return `(H, W, 3)` of a class map `(H, W)`; what is no class is white."""
    table = np.full((256, 3), _EMPTY, np.uint8)
    table[: len(classes)] = [found.color for found in classes]
    return table[values]


def _panel(folder: Path, output: Output) -> Panel:
    """Read a COG at the size of a panel, from its overviews."""
    with rasterio.open(cog_path(folder, output.name)) as cog:
        shrink = max(1.0, max(cog.shape) / EDGE_PX)
        shape = (cog.count, ceil(cog.height / shrink), ceil(cog.width / shrink))
        if output.classes:
            classes = cog.read(1, out_shape=shape[1:], resampling=Resampling.nearest)
            return Panel(output.name, colored(classes, output.classes), output.classes)
        values = cog.read(out_shape=shape, resampling=Resampling.average, masked=True)
    return Panel(output.name, stretched(values.astype(np.float32).filled(np.nan)))


def _hex(found: ClassSpec) -> str:
    return "#{:02x}{:02x}{:02x}".format(*found.color)
