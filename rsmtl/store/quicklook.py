"""`quicklook.png`: the scene and its heads side by side, small, with a legend."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from types import MappingProxyType
from typing import Any

import numpy as np
import rasterio
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import Patch
from numpy.typing import NDArray
from rasterio.enums import Resampling

from rsmtl.gdal import gdal_name, gdal_options
from rsmtl.models.spec import ClassSpec
from rsmtl.store.folder import QUICKLOOK_NAME, cog_path
from rsmtl.store.output import Output
from rsmtl.store.place import Place, replacing

EDGE_PX = 1024
"""A panel's longer edge shows at most as many pixels."""

_PANEL_IN, _LEGEND_ROW_IN, _DPI = 5.0, 0.25, 120
_EMPTY = 232
"""Pixels that are not valid are light grey: not the page's white, and no colour of a class."""


@dataclass(frozen=True)
class Panel:
    """One picture of a figure."""

    title: str
    pixels: NDArray[np.uint8]
    """`(H, W, 3)`."""
    classes: tuple[ClassSpec, ...] = ()
    """What its colours mean; for the legend."""


def write_quicklook(
    folder: Place,
    title: str,
    image: NDArray[np.floating[Any]],
    bands: tuple[str, ...],
    outputs: Sequence[Output],
    ends: Mapping[str, tuple[float, float]] = MappingProxyType({}),
) -> None:
    """Draw a product whose COGs stand.

    Parameters
    ----------
    image
        `(bands, H, W)` the reference input at reduced size, NaN where not valid.
    bands
        Names of the image's bands.
    outputs
        Those of the product; confidences and probabilities are not drawn.
    ends
        `stretch_ends` by input: an output like one of them is stretched as that is.

    Raises
    ------
    RunError
        If the picture cannot be written.
    """
    drawn = [output for output in outputs if output.name == output.head]
    panels = [Panel("input", stretched(visible(image, bands)))]
    panels += [_panel(folder, output, ends.get(output.like)) for output in drawn]
    draw(folder / QUICKLOOK_NAME, title, panels)


def draw(path: Place, title: str, panels: Sequence[Panel]) -> None:
    """Draw panels side by side under one title, with one legend for all their classes."""
    classes = list(dict.fromkeys(found for panel in panels for found in panel.classes))
    width_in = len(panels) * _PANEL_IN
    n_columns = _legend_columns(classes, width_in)
    height_in = _panel_height_in(panels[0]) + ceil(len(classes) / n_columns) * _LEGEND_ROW_IN + 0.8
    figure = Figure(figsize=(width_in, height_in), dpi=_DPI, layout="constrained")
    figure.suptitle(_drawable(title, int(width_in / 0.12)), fontsize=14, parse_math=False)
    for axes, panel in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        axes.imshow(panel.pixels, interpolation="nearest" if panel.classes else "antialiased")
        axes.set_title(_drawable(panel.title), fontsize=11, parse_math=False)
        axes.set_axis_off()
    if classes:
        handles = [Patch(facecolor=_hex(found), label=_drawable(found.name)) for found in classes]
        figure.legend(
            handles=handles, loc="outside lower center", ncols=n_columns, fontsize=11, frameon=False
        )
    with replacing(path) as part:
        figure.savefig(part, format="png")


def visible(values: NDArray[Any], bands: tuple[str, ...]) -> NDArray[Any]:
    """Return the bands `(3, H, W)` called red, green and blue; the first three, or the first, if none are."""
    names = [name.lower() for name in bands]
    if {"red", "green", "blue"} <= set(names):
        return values[[names.index(color) for color in ("red", "green", "blue")]]
    return values[:3] if len(values) >= 3 else values[:1]


def stretched(
    values: NDArray[np.floating[Any]], ends: tuple[float, float] | None = None
) -> NDArray[np.uint8]:
    """Return `(H, W, 3)` of the first three bands (or the first one in grey), for the eye.

    One stretch for all bands, between `ends` or from the 1st to the 99th percentile, keeps the colours natural.
    """
    shown = values[:3] if len(values) >= 3 else values[:1].repeat(3, axis=0)
    valid = np.isfinite(values).all(axis=0)
    low, high = ends or stretch_ends(values)
    with np.errstate(invalid="ignore"):
        light = np.clip((shown - low) / max(high - low, 1e-12), 0, 1) ** 0.8 * 255
    return np.where(valid, light, _EMPTY).astype(np.uint8).transpose(1, 2, 0)


def stretch_ends(values: NDArray[np.floating[Any]]) -> tuple[float, float]:
    """Return the 1st and the 99th percentile of what is shown of an image `(bands, H, W)`."""
    shown = values[:3] if len(values) >= 3 else values[:1]
    valid = np.isfinite(values).all(axis=0)
    low, high = np.percentile(shown[:, valid], (1, 99)) if valid.any() else (0.0, 1.0)
    return float(low), float(high)


def ramped(values: NDArray[np.floating[Any]], ends: tuple[float, float]) -> NDArray[np.uint8]:
    """Return `(H, W, 3)` of the first band in colours that rise from dark to light."""
    low, high = ends
    valid = np.isfinite(values[0])
    light = np.clip((np.where(valid, values[0], low) - low) / max(high - low, 1e-12), 0, 1)
    return np.where(valid[..., None], colormaps["viridis"](light, bytes=True)[..., :3], _EMPTY).astype(
        np.uint8
    )


def colored(values: NDArray[np.uint8], classes: tuple[ClassSpec, ...]) -> NDArray[np.uint8]:
    """Return `(H, W, 3)` of a class map `(H, W)`; what is no class is grey."""
    table = np.full((256, 3), _EMPTY, np.uint8)
    table[: len(classes)] = [found.color for found in classes]
    return table[values]


def _panel(folder: Place, output: Output, ends: tuple[float, float] | None) -> Panel:
    """Read a COG at the size of a panel, from its overviews."""
    href = str(cog_path(folder, output.name))
    with rasterio.Env(**gdal_options(href)), rasterio.open(gdal_name(href)) as cog:
        shrink = max(1.0, max(cog.shape) / EDGE_PX)
        shape = (cog.count, ceil(cog.height / shrink), ceil(cog.width / shrink))
        if output.classes:
            classes = cog.read(1, out_shape=shape[1:], resampling=Resampling.nearest)
            return Panel(output.name, colored(classes, output.classes), output.classes)
        values = cog.read(out_shape=shape, resampling=Resampling.average, masked=True)
    scale, offset = (np.reshape(v, (-1, 1, 1)) for v in (output.band_scale, output.band_offset))
    shown = visible(values.astype(np.float32).filled(np.nan) * scale + offset, output.bands)
    if output.like:
        return Panel(output.name, stretched(shown, ends))
    low, high = own = stretch_ends(shown[:1])
    unit = f" {output.unit}" if output.unit else ""
    return Panel(f"{output.name}: {low:.3g} (dark) to {high:.3g}{unit} (bright)", ramped(shown, own))


def _panel_height_in(panel: Panel) -> float:
    """Height of a panel of the usual width; strips of a scene get some room around them."""
    height, width = panel.pixels.shape[:2]
    return float(min(2.0, max(0.4, height / width))) * _PANEL_IN


def _legend_columns(classes: Sequence[ClassSpec], width_in: float) -> int:
    """How many entries of a legend fit side by side."""
    entry_in = 0.8 + 0.1 * max((len(found.name) for found in classes), default=0)
    return max(1, min(len(classes), int(width_in / entry_in)))


def _drawable(text: str, longest: int = 40) -> str:
    """Cut a text that is too long, and replace what the font has no sign for, as each would be a warning."""
    font = get_font(findfont(FontProperties()))
    short = text if len(text) <= longest else f"{text[: longest - 1]}…"
    return "".join(sign if font.get_char_index(ord(sign)) else "?" for sign in short)


def _hex(found: ClassSpec) -> str:
    return "#{:02x}{:02x}{:02x}".format(*found.color)
