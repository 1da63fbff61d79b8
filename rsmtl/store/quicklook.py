"""`quicklook.png`: the scene and its heads side by side, small, with where, when, and what the colours mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, cos, floor, log10, radians
from typing import Any

import matplotlib
import numpy as np
import rasterio
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from PIL import Image
from pyproj.exceptions import ProjError
from rasterio.enums import Resampling

from rsmtl.gdal import gdal_name, gdal_options
from rsmtl.models.spec import ClassSpec
from rsmtl.store.folder import QUICKLOOK_NAME, cog_path
from rsmtl.store.output import Output
from rsmtl.store.place import Place, replacing

EDGE_PX = 1024
"""A panel's longer edge shows at most as many pixels."""

EMPTY = 232
"""Pixels that are not valid are light grey: not the page's white, and no colour of a class."""

_PANEL_IN, _LEGEND_ROW_IN, _DPI = 5.0, 0.25, 120
_N_COLORS = 256
_SAMPLE_STEP = 4
"""Colours are chosen from every so many pixels: it takes a tenth of the time."""
_BAR_SHARE = 0.3
"""The scale bar is at most as much of a panel's width."""
_ON_PIXELS: Any = {
    "color": "white",
    "fontsize": 9,
    "path_effects": [withStroke(linewidth=2, foreground="black")],
}

Limits = tuple[float, float]
"""What is drawn black and white."""


@dataclass(frozen=True)
class Panel:
    """One picture of a figure."""

    title: str
    pixels: NDArray[np.uint8]
    """`(H, W, 3)`."""
    classes: tuple[ClassSpec, ...] = ()
    """What its colours mean; for the legend."""
    ground: GeoBox | None = None
    """What the panel shows of the ground, at any resolution; it then has a scale bar and its corners' coordinates."""


@dataclass(frozen=True)
class Look:
    """What a quicklook says and shows beside the product's own outputs."""

    title: str
    caption: str = ""
    inputs: tuple[Panel, ...] = ()
    details: tuple[Panel, ...] = ()
    """A piece at full resolution."""
    limits: Mapping[str, Limits] = field(default_factory=dict)
    """By input: the physical values that are black and white, also of the outputs that are like it."""


def write_quicklook(folder: Place, look: Look, outputs: Sequence[Output]) -> None:
    """Draw a product whose COGs exist.

    Parameters
    ----------
    outputs
        Those of the product; confidences and probabilities are not drawn.

    Raises
    ------
    RunError
        If the picture cannot be written.
    """
    drawn = [output for output in outputs if output.name == output.head]
    panels = [*look.inputs, *(_panel(folder, output, look.limits.get(output.like)) for output in drawn)]
    draw(folder / QUICKLOOK_NAME, look.title, panels, caption=look.caption, details=look.details)


def draw(
    path: Place, title: str, panels: Sequence[Panel], *, caption: str = "", details: Sequence[Panel] = ()
) -> None:
    """Draw panels side by side under one title, details below them, with one legend for all their classes.

    The file has at most 256 colours, those of classes among them: a third of the size, and no difference to be seen.
    """
    rows = [row for row in (panels, details) if row]
    classes = list(dict.fromkeys(found for row in rows for panel in row for found in panel.classes))
    width_in = max(map(len, rows)) * _PANEL_IN
    n_columns = _legend_columns(classes, width_in)
    heights = [_panel_height_in(row[0]) + 0.4 for row in rows]
    height_in = sum(heights) + ceil(len(classes) / n_columns) * _LEGEND_ROW_IN + (0.8 if caption else 0.4)
    figure = Figure(figsize=(width_in, height_in), dpi=_DPI, layout="constrained")
    figure.suptitle(_drawable(title, int(width_in / 0.12)), fontsize=14, parse_math=False)
    parts = figure.subfigures(len(rows), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, row in zip(parts, rows, strict=True):
        for axes, panel in zip(np.atleast_1d(part.subplots(1, len(row))), row, strict=True):
            _draw_panel(axes, panel)
    if caption:
        parts[0].suptitle(
            _drawable(caption, int(width_in / 0.085)), fontsize=10, parse_math=False, color="#444"
        )
    if classes:
        handles = [Patch(facecolor=hex_of(found), label=_drawable(found.name)) for found in classes]
        figure.legend(
            handles=handles, loc="outside lower center", ncols=n_columns, fontsize=11, frameon=False
        )
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = few_colors(Image.fromarray(np.asarray(canvas.buffer_rgba())), [found.color for found in classes])
    with replacing(path) as unfinished:
        drawn.save(unfinished, "PNG", optimize=True)


def few_colors(picture: Image.Image, kept: Sequence[tuple[int, int, int]] = ()) -> Image.Image:
    """Return a picture of at most 256 colours, among them those to be kept exactly."""
    pixels = picture.convert("RGB")
    fixed = [(255, 255, 255), (0, 0, 0), (EMPTY,) * 3, *kept][: _N_COLORS // 2]
    small = pixels.resize([ceil(edge / _SAMPLE_STEP) for edge in pixels.size], Image.Resampling.NEAREST)
    chosen = small.quantize(_N_COLORS - len(fixed), Image.Quantize.MEDIANCUT).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([*np.ravel(fixed).tolist(), *chosen][: 3 * _N_COLORS])
    found = pixels.quantize(palette=palette, dither=Image.Dither.NONE)
    values, numbers = np.asarray(pixels), np.array(found)
    for number, color in enumerate(fixed):  # Pillow looks for the nearest colour in steps of several values
        numbers[(values == color).all(axis=-1)] = number
    few = Image.fromarray(numbers, "P")
    few.putpalette(found.getpalette() or [])
    return few


def visible(values: NDArray[Any], bands: tuple[str, ...]) -> NDArray[Any]:
    """Return the bands `(3, H, W)` called red, green and blue; the first three, or the first, if none are."""
    names = [name.lower() for name in bands]
    if {"red", "green", "blue"} <= set(names):
        return values[[names.index(color) for color in ("red", "green", "blue")]]
    return values[:3] if len(values) >= 3 else values[:1]


def limits_of(values: NDArray[np.floating[Any]]) -> Limits:
    """Return the 1st and the 99th percentile of the bands that are shown: one stretch keeps colours natural."""
    shown = values[:3] if len(values) >= 3 else values[:1]
    valid = np.isfinite(values).all(axis=0)
    low, high = np.percentile(shown[:, valid], (1, 99)) if valid.any() else (0.0, 1.0)
    return float(low), float(high)


def stretched(values: NDArray[np.floating[Any]], limits: Limits | None = None) -> NDArray[np.uint8]:
    """Return `(H, W, 3)` of the first three bands (or the first one in grey); default: their own limits."""
    shown = values[:3] if len(values) >= 3 else values[:1].repeat(3, axis=0)
    valid = np.isfinite(values).all(axis=0)
    low, high = limits or limits_of(values)
    with np.errstate(invalid="ignore"):
        light = np.clip((shown - low) / max(high - low, 1e-12), 0, 1) ** 0.8 * 255
    return np.where(valid, light, EMPTY).astype(np.uint8).transpose(1, 2, 0)


def colored(values: NDArray[np.uint8], classes: tuple[ClassSpec, ...]) -> NDArray[np.uint8]:
    """Return `(H, W, 3)` of a class map `(H, W)`; what is no class is grey."""
    table = np.full((256, 3), EMPTY, np.uint8)
    for index, found in enumerate(classes):
        table[index] = found.color
    return table[values]


def input_panel(
    name: str, values: NDArray[np.floating[Any]], bands: tuple[str, ...], ground: GeoBox | None
) -> Panel:
    """Return a panel of an input's physical values `(bands, H, W)`, NaN where not valid."""
    return Panel(name, stretched(visible(values, bands)), ground=ground)


def output_panel(
    output: Output, stored: np.ma.MaskedArray[Any, Any], limits: Limits | None, ground: GeoBox | None = None
) -> Panel:
    """Return a panel of an output's stored values `(bands, H, W)`: classes in their colours, values in grey or colour.

    One band that has not the values of an input (a height, say) is drawn in colours, with its range in the title.
    """
    if output.classes:
        values = stored[0].filled(255 if output.nodata is None else output.nodata)
        return Panel(output.name, colored(values, output.classes), output.classes, ground)
    physical: NDArray[Any] = np.ma.filled(stored.astype(np.float32), np.nan)
    physical = physical * np.reshape(output.band_scale, (-1, 1, 1)) + np.reshape(
        output.band_offset, (-1, 1, 1)
    )
    if limits is None and len(output.bands) == 1:
        low, high = limits_of(physical)
        share = (physical[0] - low) / max(high - low, 1e-12)
        pixels = (matplotlib.colormaps["cividis"](share)[..., :3] * 255).astype(np.uint8)
        pixels[np.isnan(share)] = EMPTY
        unit = f" {output.unit}" if output.unit else ""
        title = f"{output.name}: {low:.3g} (dark) to {high:.3g}{unit} (bright)"
        return Panel(title, pixels, ground=ground)
    return Panel(output.name, stretched(visible(physical, output.bands), limits), ground=ground)


def _panel(folder: Place, output: Output, limits: Limits | None) -> Panel:
    """Read a COG at the size of a panel, from its overviews."""
    href = str(cog_path(folder, output.name))
    with rasterio.Env(**gdal_options(href)), rasterio.open(gdal_name(href)) as cog:
        shrink = max(1.0, max(cog.shape) / EDGE_PX)
        shape = (cog.count, ceil(cog.height / shrink), ceil(cog.width / shrink))
        way = Resampling.nearest if output.classes else Resampling.average
        return output_panel(output, cog.read(out_shape=shape, resampling=way, masked=True), limits)


def read_piece(folder: Place, output: Output, y: slice, x: slice) -> np.ma.MaskedArray[Any, Any]:
    """Return stored values `(bands, H, W)` of a piece of an output's COG, in its own pixels."""
    href = str(cog_path(folder, output.name))
    with rasterio.Env(**gdal_options(href)), rasterio.open(gdal_name(href)) as cog:
        piece: np.ma.MaskedArray[Any, Any] = cog.read(
            window=((y.start, y.stop), (x.start, x.stop)), masked=True
        )
        return piece


def _draw_panel(axes: Axes, panel: Panel) -> None:
    height, width = panel.pixels.shape[:2]
    coarse = max(height, width) < _PANEL_IN * _DPI  # its pixels are to be seen
    axes.imshow(panel.pixels, interpolation="nearest" if panel.classes or coarse else "antialiased")
    axes.set_title(_drawable(panel.title), fontsize=11, parse_math=False)
    axes.set_axis_off()
    if panel.ground is None or panel.ground.crs is None:
        return
    try:
        west, south, east, north = panel.ground.geographic_extent.boundingbox
    except ProjError:  # not on the Earth
        return
    axes.text(0.015, 0.985, _place(north, west), transform=axes.transAxes, ha="left", va="top", **_ON_PIXELS)
    axes.text(
        0.985, 0.015, _place(south, east), transform=axes.transAxes, ha="right", va="bottom", **_ON_PIXELS
    )
    bar_m, share = scale_bar(ground_width_m(panel.ground))
    length, left, bottom = share * width, 0.03 * width, 0.97 * height
    axes.plot([left, left + length], [bottom, bottom], color="black", linewidth=5, solid_capstyle="butt")
    axes.plot([left, left + length], [bottom, bottom], color="white", linewidth=3, solid_capstyle="butt")
    axes.text(left, bottom - 0.015 * height, _length(bar_m), ha="left", va="bottom", **_ON_PIXELS)


def ground_width_m(ground: GeoBox) -> float:
    """Return the width of a grid in metres, along its middle row."""
    width = float(abs(ground.resolution.x) * ground.shape[1])
    assert ground.crs is not None
    if ground.crs.geographic:
        middle = (ground.boundingbox.bottom + ground.boundingbox.top) / 2
        return width * 111_320 * cos(radians(middle))
    return width * float(ground.crs.proj.axis_info[0].unit_conversion_factor)


def scale_bar(width_m: float) -> tuple[float, float]:
    """Return the length of a bar, a round number of metres, and what share of the width it is."""
    longest = max(width_m, 1e-6) * _BAR_SHARE
    power = 10.0 ** floor(log10(longest))
    bar = max(step * power for step in (1, 2, 5) if step * power <= longest)
    return bar, bar / width_m


def _length(metres: float) -> str:
    return f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"


def _place(latitude: float, longitude: float) -> str:
    north, east = "N" if latitude >= 0 else "S", "E" if longitude >= 0 else "W"
    return f"{abs(latitude):.4f}° {north}, {abs(longitude):.4f}° {east}"


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


def hex_of(found: ClassSpec) -> str:
    """Return a class's colour as `#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*found.color)
