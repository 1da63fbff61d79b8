"""The margin with which a product equals one pass over the whole scene: a network's receptive field, if it has one."""

from functools import lru_cache

import torch
from torch import Tensor

from rsmtl.config import Settings
from rsmtl.engine.network import forward
from rsmtl.engine.outputs import asked_heads
from rsmtl.errors import PlanError
from rsmtl.models.exported import ExportedModule
from rsmtl.models.model import Model

LARGEST_PX = 2048
"""Edge of the largest window in which the end of a receptive field is looked for."""

ROUNDING = 1e-4
"""Share of a channel's spread by which two passes of an equivariant network may differ anywhere."""

FLOOR = {"fp32": 1e-6, "bf16": 1e-2}
"""Share of the greatest value by which they may differ in any case, as numbers of that format are rounded."""


@lru_cache(maxsize=4)
def exact_margin(model: Model, settings: Settings) -> int:
    """Return how many reference pixels of a window's edge depend on what lies beyond it.

    One block of pixels is made NaN, and every output that changes depends on it. Whether the rest is
    translation-equivariant is then measured, on two windows of noise that are displaced by one block.

    Raises
    ------
    PlanError
        If the network sees all of a window, or its outputs depend on where in a window they lie.
    """
    step = model.spec.step
    edge = max(4 * step, 256 // step * step)
    if isinstance(model.module, ExportedModule):
        edge = model.module.card.window
    while True:
        margin = _reach(model, settings, edge, step)
        if margin is not None and edge >= 2 * margin + 2 * step:
            break
        edge *= 2
        if edge > LARGEST_PX or isinstance(model.module, ExportedModule):
            raise PlanError(
                f"--exact is not possible for {model.spec.system!r}: an output depends on pixels more than "
                f"{edge // 4} px away, or on all of its window; run it without --exact"
            )
    _check_equivariant(model, settings, edge, step, margin)
    return margin


def _reach(model: Model, settings: Settings, edge: int, step: int) -> int | None:
    """Return how far a block's influence goes beyond it; None if it reaches the window's edge."""
    noise = _noise(model, edge)
    first = edge // 2 // step * step
    spoiled = [n.clone() for n in noise]
    for values, spec in zip(spoiled, model.spec.inputs, strict=True):
        span = slice(int(first * spec.scale), int((first + step) * spec.scale))
        values[:, :, span, span] = torch.nan
    clean, changed = (_run(model, settings, inputs) for inputs in (noise, spoiled))
    reach = 0.0
    for head in asked_heads(model.spec, settings):
        differs = (clean[head.name] != changed[head.name]).any(dim=1)[0]
        for axis in (0, 1):
            places = differs.any(dim=1 - axis).nonzero()[:, 0]
            if not len(places):
                continue
            low, high = int(places[0]), int(places[-1]) + 1
            if low == 0 or high == differs.shape[axis]:
                return None
            reach = max(reach, first - float(low / head.scale), float(high / head.scale) - first - step)
    return -int(-reach // 1)


def _check_equivariant(model: Model, settings: Settings, edge: int, step: int, margin: int) -> None:
    noise = _noise(model, edge + step)
    here, there = (
        _run(
            model,
            settings,
            [
                n[
                    ...,
                    int(o * i.scale) : int((o + edge) * i.scale),
                    int(o * i.scale) : int((o + edge) * i.scale),
                ]
                for n, i in zip(noise, model.spec.inputs, strict=True)
            ],
        )
        for o in (0, step)
    )
    for head in asked_heads(model.spec, settings):
        low, high, by = (int(px * head.scale) for px in (margin + step, edge - margin, step))
        a = here[head.name][..., low:high, low:high]
        b = there[head.name][..., low - by : high - by, low - by : high - by]
        # By channel, since biases may set channels so far apart that they hide what differs within one.
        worst, spread = (a - b).abs().amax((0, 2, 3)), a.std((0, 2, 3))
        allowed = (ROUNDING * spread).clamp(min=FLOOR[settings.precision] * float(a.abs().max()))
        if not bool((worst <= allowed).all()):
            raise PlanError(
                f"--exact is not possible for {model.spec.system!r}: head {head.name!r} depends on where in a window "
                f"a pixel lies (by {float((worst / spread).max()):.2g} of its spread), so no pass over the whole scene "
                "is its truth; run it without --exact, or with --fidelity high"
            )


def _noise(model: Model, edge: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.rand(1, i.channels, int(edge * i.scale), int(edge * i.scale), generator=generator)
        for i in model.spec.inputs
    ]


@torch.inference_mode()
def _run(model: Model, settings: Settings, inputs: list[Tensor]) -> dict[str, Tensor]:
    n = model.module.card.batch if isinstance(model.module, ExportedModule) else 1
    stacked = [
        i.to(settings.device).expand(n, -1, -1, -1).contiguous(memory_format=torch.channels_last)
        for i in inputs
    ]
    return {name: v[:1].cpu() for name, v in forward(model, settings, stacked).items()}
