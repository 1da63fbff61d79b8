"""`rsmtl.plot`: one head on a map's axes, with what its colours mean."""

from math import ceil
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from numpy.typing import NDArray

from rsmtl.errors import InputError
from rsmtl.models.spec import ClassSpec
from rsmtl.store.quicklook import EDGE_PX, EMPTY, colored, hex_of, limits_of, stretched, visible


def plot(head: xr.DataArray, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Draw one head of `predict`, or of an opened product, and return the axes.

    A class map is drawn in its classes' colours with their names in a legend; three bands or more in true colours, or
    as the first three; one band in colours with a bar. What is not valid is grey. Both stored and decoded values will
    do. Of an array of more than 1,024 pixels along an edge, every k-th pixel is drawn.

    Parameters
    ----------
    head
        `(y, x)`, or `(band, y, x)`; computed if it is lazy.
    ax
        Axes to draw on; default: a new figure's.
    title
        Default: the head's name.

    Raises
    ------
    InputError
        If this is not one head.
    """
    if not isinstance(head, xr.DataArray) or head.ndim not in (2, 3) or not head.size:
        raise InputError(
            f"plot draws one head (y, x) or (band, y, x), got {_told(head)}: give it `heads.segmentation`, for example"
        )
    if head.ndim == 3 and len(head) == 1:
        head = head[0]
    y, x = (str(dim) for dim in head.dims[-2:])
    step = ceil(max(head.sizes[y], head.sizes[x]) / EDGE_PX)
    shown = head.isel({y: slice(None, None, step), x: slice(None, None, step)}).compute()
    classes = _classes(shown)
    axes = _new_axes() if ax is None else ax
    where: Any = {"extent": (*_ends(head, x), *_ends(head, y)[::-1]), "interpolation": "nearest"}
    values = _physical(shown)
    if classes:
        axes.imshow(colored(np.nan_to_num(values, nan=255).astype(np.uint8), classes), **where)
        handles = [Patch(facecolor=hex_of(c), label=c.name) for c in classes]
        axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    elif values.ndim == 3 and len(values) >= 3:
        bands = tuple(str(name) for name in shown[shown.dims[0]].values)
        axes.imshow(stretched(visible(values, bands)), **where)
    else:
        _draw_band(axes, values if values.ndim == 2 else values[0], shown, where)
    axes.set_title(title if title is not None else str(head.name or "").replace("_", " "))
    axes.set(xlabel=_axis_label(head[x], "Easting"), ylabel=_axis_label(head[y], "Northing"), aspect="equal")
    axes.locator_params(nbins=4)
    axes.ticklabel_format(style="plain", useOffset=False)
    return axes


def _told(head: Any) -> str:
    return f"dimensions {head.dims}" if isinstance(head, xr.DataArray) else f"a {type(head).__name__}"


def _new_axes() -> Axes:
    from matplotlib import pyplot  # starts a backend, which those who bring axes may not have

    axes: Axes = pyplot.subplots(layout="constrained")[1]
    return axes


def _classes(head: xr.DataArray) -> tuple[ClassSpec, ...]:
    """Return the classes that the attributes name, if these are numbered from 0 on, as `predict` numbers them."""
    names, colors = (str(head.attrs.get(key, "")).split() for key in ("flag_meanings", "flag_colors"))
    numbers = np.asarray(head.attrs.get("flag_values", ())).tolist()
    if not names or numbers != list(range(len(names))) or len(colors) != len(names):
        return ()
    return tuple(
        ClassSpec(name=name.replace("_", " "), color=(int(c[1:3], 16), int(c[3:5], 16), int(c[5:7], 16)))
        for name, c in zip(names, colors, strict=True)
    )


def _physical(head: xr.DataArray) -> NDArray[Any]:
    """Return values with NaN for nodata; those that are decoded already have no such attributes."""
    return np.asarray(xr.conventions.decode_cf_variable(str(head.name), head.variable).values)


def _draw_band(axes: Axes, values: NDArray[Any], head: xr.DataArray, where: dict[str, Any]) -> None:
    low, high = limits_of(values[None].astype(np.float64))
    axes.set_facecolor((EMPTY / 255,) * 3)
    drawn = axes.imshow(values, cmap="cividis", vmin=low, vmax=high, **where)
    unit = head.attrs.get("units")
    name = str(head.attrs.get("long_name") or head.name or "").replace("_", " ")
    axes.figure.colorbar(drawn, ax=axes, label=f"{name} ({unit})" if unit else name, extend="both")


def _ends(head: xr.DataArray, dim: str) -> tuple[float, float]:
    """Return the outer edges of the first and the last pixel along a dimension."""
    centres = head[dim].values.astype(float)
    half = (centres[-1] - centres[0]) / (len(centres) - 1) / 2 if len(centres) > 1 else 0.5
    return centres[0] - half, centres[-1] + half


def _axis_label(coord: xr.DataArray, projected: str) -> str:
    unit = str(coord.attrs.get("units", ""))
    if unit.startswith("degree"):
        return "Longitude (°)" if projected == "Easting" else "Latitude (°)"
    return f"{projected} ({'m' if unit in ('metre', 'meter', 'm') else unit})" if unit else str(coord.name)
