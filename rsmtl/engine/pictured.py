"""What a quicklook shows of a run: its inputs, what they are stretched to, and a piece at full resolution."""

from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rsmtl.engine.plan import Plan
from rsmtl.lattice import Span
from rsmtl.scene.read import reduced
from rsmtl.store.output import Output
from rsmtl.store.place import Place
from rsmtl.store.quicklook import (
    EDGE_PX,
    Limits,
    Look,
    Panel,
    input_panel,
    limits_of,
    output_panel,
    read_piece,
    stretched,
    visible,
)

DETAIL_PX = 256
"""Edge of a detail, in the finest output's pixels."""
_N_PLACES = 12
"""Places along an axis at which a detail may lie."""

Image = NDArray[np.float32]


def look_of(plan: Plan, folder: Place) -> Look:
    """Return what a product's quicklook shows beside the outputs; the COGs exist."""
    images = {name: reduced(found, EDGE_PX) for name, found in plan.scene.inputs.items()}
    limits: dict[str, Limits] = {
        name: limits_of(visible(image, plan.scene.inputs[name].bands)) for name, image in images.items()
    }
    inputs = [
        input_panel(name, image, plan.scene.inputs[name].bands, plan.geobox if k == 0 else None)
        for k, (name, image) in enumerate(images.items())
    ]
    return Look(
        title=plan.scene.id,
        caption=_caption(plan),
        inputs=tuple(inputs),
        details=_details(plan, folder, images[plan.model.spec.reference], limits),
        limits=limits,
    )


def _caption(plan: Plan) -> str:
    """When, by which model, how large and in which CRS."""
    model = plan.model.source or plan.model.fitted or plan.model.spec.system
    when = str(plan.scene.properties.get("datetime") or plan.scene.properties.get("start_datetime") or "")
    height, width = plan.geobox.shape
    code = plan.geobox.crs.to_epsg() if plan.geobox.crs is not None else None
    parts = [
        f"{when.replace('T', ' ')[:16]} UTC" if when else "",
        model.replace("\\", "/").rsplit("/", 1)[-1],
        f"{width:,} × {height:,} px",
        f"EPSG:{code}" if code else "",
    ]
    return " · ".join(part for part in parts if part)


def _details(plan: Plan, folder: Place, image: Image, limits: dict[str, Limits]) -> tuple[Panel, ...]:
    """A piece of each input and output at full resolution, if an output is finer than an input."""
    drawn = [output for output in plan.outputs if output.name == output.head]
    finest = max((output.scale for output in drawn), default=Fraction(0))
    if finest < 1.01 * min(plan.delivered_scales.values()):
        return ()
    rows, cols = _liveliest(image, plan.geobox, ceil(DETAIL_PX / finest))
    panels = []
    for name, found in plan.scene.inputs.items():
        y, x = rows.scaled(found.scale), cols.scaled(found.scale)
        values = visible(found.read(y.slice, x.slice), found.bands)
        panels.append(Panel(f"{name}, detail", stretched(values, limits[name])))
    for output in drawn:
        panels.append(_detail_of(folder, output, rows, cols, limits.get(output.like)))
    return tuple(panels)


def _detail_of(folder: Place, output: Output, rows: Span, cols: Span, limits: Limits | None) -> Panel:
    piece = read_piece(folder, output, rows.scaled(output.scale).slice, cols.scaled(output.scale).slice)
    panel = output_panel(output, piece, limits)
    return Panel(f"{panel.title}, detail", panel.pixels, panel.classes)


def _liveliest(image: Image, reference: GeoBox, edge: int) -> tuple[Span, Span]:
    """Return the square of the reference grid whose reduced image varies most and has most valid pixels."""
    step = ceil(max(reference.shape) / EDGE_PX)
    edge = min(edge, *reference.shape)
    starts = [np.linspace(0, length - edge, _N_PLACES).astype(int) // 16 * 16 for length in reference.shape]

    def worth(y: int, x: int) -> float:
        piece: NDArray[Any] = image[0, y // step : (y + edge) // step + 1, x // step : (x + edge) // step + 1]
        valid = np.isfinite(piece)
        return float(piece[valid].std() * valid.mean()) if valid.any() else -1.0

    y, x = max(((int(y), int(x)) for y in starts[0] for x in starts[1]), key=lambda place: worth(*place))
    return Span(y, y + edge), Span(x, x + edge)
