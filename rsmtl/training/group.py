"""The ranks of a training: who else there is, on what device, and what all must agree on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from rsmtl.errors import InputError, RunError

Device = Literal["auto", "cpu", "cuda"]

TIMEOUT_S = 300.0
"""How long a rank waits for another, or a step may take, before the training is given up."""


class RankGone(RunError):
    """Another rank does not answer; what is wrong with it, it says itself."""


@dataclass(frozen=True)
class Group:
    """This process among those that train one model."""

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this is the rank that writes."""
        return self.rank == 0

    def share(self, indices: range) -> range:
        """Return this rank's part of what all ranks do together; parts differ by one at most."""
        return indices[self.rank :: self.size]

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum over all ranks, in float64."""
        if self.size == 1:
            return values
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return total.cpu().numpy()

    def any(self, flag: bool) -> bool:
        """Whether any rank says so."""
        return bool(self.sum(np.array([flag], dtype=np.float64))[0])

    def wait(self) -> None:
        """Return when all ranks have come here."""
        self.any(False)


def launched() -> bool:
    """Whether this process is a rank that an agent (torchrun's, or ours) has started."""
    return "TORCHELASTIC_RUN_ID" in os.environ


@contextmanager
def joined(device: Device, timeout_s: float) -> Iterator[Group]:
    """Join the ranks that the environment names, as torchrun sets it; without, be the only one.

    Raises
    ------
    InputError
        If CUDA is asked for and there is none.
    """
    chosen = device_for(device)
    if not launched():
        yield group_of_one(chosen)
        return
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=timedelta(seconds=timeout_s))
    try:
        yield Group(dist.get_rank(), dist.get_world_size(), chosen)
    finally:
        dist.destroy_process_group()


def group_of_one(device: torch.device) -> Group:
    """Return the group of a process that works alone."""
    return Group(0, 1, device)


def device_for(wanted: Device) -> torch.device:
    """Return the device that is asked for, this rank's own where there are several; errors as `joined`."""
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise InputError("there is no CUDA device here: use --device cpu, or a machine that has one")
    if wanted == "cpu" or not there:
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
