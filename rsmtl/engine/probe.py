"""How many windows a device is best given at once: what its memory holds, and what it does with them in a second."""

import time
from dataclasses import dataclass
from functools import lru_cache

import psutil
import torch
from torch import Tensor

from rsmtl.config import RunSettings
from rsmtl.engine.device import check_device
from rsmtl.engine.forward_bytes import forward_bytes
from rsmtl.engine.network import forget_recorded, forward
from rsmtl.models.model import Model

SHARE = 0.5
"""Of the free memory that a forward pass may be projected to take: libraries need room to work in, and chunks too."""

MAX_BATCH = 64
"""Beyond this, no device of today has less to do."""

WORTH = 1.05
"""A batch of twice as many windows must bring so many times the windows per second, or it is not worth its memory."""

REPEATS = 3
"""Forward passes that are timed, after one that is not; the fastest counts."""


@dataclass(frozen=True)
class Probe:
    """What was found out about a device."""

    batch: int
    """A power of two."""
    n_fit: int
    """Windows that are projected to fit into its memory at once; `MAX_BATCH` at most."""
    rates: dict[int, float]
    """Windows per second by batch, of all that were tried."""


@lru_cache(maxsize=2)  # the same for each scene of a catalogue
def probe(model: Model, settings: RunSettings) -> Probe:
    """Run windows of noise in batches of 1, 2, 4, …, until more at once bring nothing any more.

    Parameters
    ----------
    settings
        Their chunk and batch do not count, and are best the same for all scenes.

    Raises
    ------
    PlanError
        If the device is not there.
    ModelError, RunError
        As `forward`, for a single window.
    """
    check_device(settings.device)
    rates = {1: _rate(model, settings, 1)}  # from here on the weights are on the device
    n_fit, batch = _n_fit(model, settings), 1
    while 2 * batch <= n_fit:
        rates[2 * batch] = _rate(model, settings, 2 * batch)  # in halves if the memory is full after all
        if rates[2 * batch] < WORTH * rates[batch]:
            break
        batch *= 2
    if settings.device == "cuda":
        forget_recorded()  # or what was tried in vain would keep its memory
    return Probe(batch, n_fit, rates)


def _n_fit(model: Model, settings: RunSettings) -> int:
    one, two = (forward_bytes(model, settings.window, n, settings.precision) for n in (1, 2))
    more = (SHARE * _free_bytes(settings.device) - one) / max(1, two - one)
    return max(1, min(1 + int(more), MAX_BATCH))


def _free_bytes(device: str) -> int:
    if device == "cpu":
        return int(psutil.virtual_memory().available)
    return int(torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() - torch.cuda.memory_allocated())


@torch.inference_mode()
def _rate(model: Model, settings: RunSettings, batch: int) -> float:
    """Windows per second."""
    edges = [(i.channels, int(settings.window * i.scale)) for i in model.spec.inputs]
    noise = [torch.rand(batch, channels, edge, edge, device=settings.device) for channels, edge in edges]
    inputs = [values.contiguous(memory_format=torch.channels_last) for values in noise]
    _seconds(model, settings, inputs)  # in which libraries load their code and look for the best of it
    return batch / min(_seconds(model, settings, inputs) for _ in range(REPEATS))


def _seconds(model: Model, settings: RunSettings, inputs: list[Tensor]) -> float:
    start = time.perf_counter()
    forward(model, settings, inputs)
    if settings.device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start
