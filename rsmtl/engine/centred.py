"""What a model says of a rectangle in the middle of a window: the measure that a product is held against."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rsmtl import blend
from rsmtl.engine.batch import batches
from rsmtl.engine.device import computing, lane, to_device, to_host
from rsmtl.engine.kernel import finish_area, network_values, valid_at
from rsmtl.engine.network import forward
from rsmtl.engine.plan import Plan
from rsmtl.lattice import Span, Window
from rsmtl.scene.read import read_window


@torch.inference_mode()
def centred(
    plan: Plan, y: Span, x: Span, *, window: int | None = None, shift: tuple[int, int] = (0, 0)
) -> dict[str, NDArray[Any]]:
    """Run one window around a rectangle and return the rectangle, as a product stores it.

    The window begins at a multiple of the model's divisor, as those of a run do, so that poolings fall alike. At the
    scene's edge it stays within the scene: the rectangle then lies as near to the middle as the scene allows.

    Parameters
    ----------
    plan
        Whose scene, model, radiometry and precision count; its window, overlap and margin do not.
    y, x
        The rectangle in reference pixels, within the scene and no larger than the window. Their starts are multiples of
        every scale's denominator.
    window
        Edge in reference pixels. Default: the plan's.
    shift
        Reference pixels (y, x) by which the window is displaced from the middle. Two windows an eighth of a window
        apart give the floor: how far the model differs from itself.

    Returns
    -------
    dict
        By output name, `(bands, h, w)` stored values, nodata where a pixel is not valid.
    """
    edge = window or plan.settings.window
    lattice, step = plan.lattice, plan.model.spec.step
    rows, cols = (
        _around(span, edge, by, length, step)
        for span, by, length in zip((y, x), shift, (lattice.height, lattice.width), strict=True)
    )
    placed = Window(0, 0, rows, cols)
    region = (
        Span(rows.start, min(rows.stop, lattice.height)),
        Span(cols.start, min(cols.stop, lattice.width)),
    )
    values, valid = read_window(plan.scene, plan.model.spec, region[0].slice, region[1].slice)
    valid = valid[y.within(region[0]).slice, x.within(region[1]).slice]
    device = plan.settings.device
    with lane(device):
        inputs = [
            (to_device(network_values(plan, name, values.pop(name)), device), found.scale)
            for name, found in plan.scene.inputs.items()
        ]
        with computing(device):
            ((_, stacked),) = batches([placed], inputs, region, plan.settings.batch)
            answers = forward(plan.model, plan.settings, stacked)
        stored: dict[str, NDArray[Any]] = {}
        for head in plan.heads:
            cut_y, cut_x = (
                span.scaled(head.scale).within(whole.scaled(head.scale)).slice
                for span, whole in ((y, rows), (x, cols))
            )
            found = answers[head.name][0, :, cut_y, cut_x]
            sums = blend.new_canvas(head.kind, tuple(found.shape), device)  # type: ignore[arg-type]
            ones = np.ones(tuple(found.shape[1:]), np.float32)
            weights = blend.in_steps(ones, plan.steps(head)).to(device)
            blend.add(sums, found, weights, plan.exact.get(head.name))
            if not valid.all():
                sums.masked_fill_(
                    to_device(torch.from_numpy(~valid_at(valid, head.scale)), device), torch.nan
                )
            stored |= finish_area(plan, head, [to_host(sums).numpy()])
    return stored


def _around(span: Span, edge: int, shift: int, length: int, step: int) -> Span:
    """Place a window of an axis around a span: at a multiple of `step`, within the scene, holding all of the span."""
    wanted = round(((span.start + span.stop - edge) / 2 + shift) / step) * step
    last = max(0, (length - edge) // step * step)
    start = min(max(0, wanted), last)
    if start + edge < span.stop:  # the scene's last pixels, behind the last window that lies wholly within it
        start = -(-(span.stop - edge) // step) * step
    return Span(start, start + edge)
