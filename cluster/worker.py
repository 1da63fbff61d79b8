"""What a worker process is given, wherever it runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dask.utils import parse_bytes

from rsmtl.errors import InputError

LOOPBACK = "127.0.0.1:0"
"""Where dashboards and metrics are served: they have no password. Dask's own default is the whole network."""


class Offer(StrEnum):
    """Work that a worker is kept for, when training and inference share a cluster."""

    INFERENCE = "inference"
    TRAINING = "training"


@dataclass(frozen=True)
class Worker:
    """One worker process.

    On a CPU it has one thread: processes of one thread are faster than threads of one process, and how many threads
    PyTorch has decides bits of the result. On a GPU several threads read and write while one computes.
    """

    threads: int = 1
    memory: str = "auto"
    """What it may take before it is restarted, such as 4GiB; `auto`: its share of the machine's."""
    offers: Sequence[Offer] = ()
    """Nothing: it takes whatever comes."""

    def __post_init__(self) -> None:
        try:
            n_bytes = parse_bytes(self.memory) if self.memory != "auto" else 1
        except ValueError:
            n_bytes = 0
        if n_bytes <= 0:
            raise InputError(f"expected an amount of memory such as 4GiB, not {self.memory!r}")

    @property
    def resources(self) -> dict[str, int]:
        """What it offers, as Dask counts it: a job of inference takes a thread, a training the whole worker."""
        units = {Offer.INFERENCE: self.threads, Offer.TRAINING: 1}
        return {str(offer): units[offer] for offer in self.offers}

    @property
    def options(self) -> dict[str, Any]:
        """For a `distributed.Nanny`."""
        return {"nthreads": self.threads, "memory_limit": self.memory, "resources": self.resources}

    @property
    def arguments(self) -> list[str]:
        """For `dask worker`, but for threads and memory."""
        offered = ",".join(f"{name}={units}" for name, units in self.resources.items())
        return ["--dashboard-address", LOOPBACK, *(["--resources", offered] if offered else [])]
