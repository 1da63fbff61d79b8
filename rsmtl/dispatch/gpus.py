"""Worker processes of this machine with a GPU each.

dask-cuda does this too, and manages memory that dataframes share between GPUs; but each of its releases asks for one
version of Dask alone.
"""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from dask.system import CPU_COUNT
from distributed import Scheduler, SpecCluster
from distributed.security import Security

from rsmtl.dispatch.executors import ClusterExecutor, own_cluster
from rsmtl.dispatch.forked import OwnNanny
from rsmtl.engine.device import LANES
from rsmtl.errors import PlanError

THREADS_AT_MOST = 8
"""Of a worker. More of them fight for the interpreter, which the one that computes needs."""


@contextmanager
def gpu_cluster(gpus: Sequence[str]) -> Iterator[ClusterExecutor]:
    """Start a worker process for each GPU, and end them with the block; else as `local_cluster`.

    A worker has several threads: while one computes, others read and write.

    Parameters
    ----------
    gpus
        As CUDA_VISIBLE_DEVICES names them.
    """
    with own_cluster(partial(_one_each, gpus), on_gpus=True) as executor:
        yield executor


def gpus_for(n_workers: int) -> tuple[str, ...]:
    """Return the first GPUs that this process sees, one for each worker.

    Raises
    ------
    PlanError
        If there are too few.
    """
    gpus = listed(os.environ.get("CUDA_VISIBLE_DEVICES"), torch.cuda.device_count())
    if n_workers > len(gpus):
        raise PlanError(
            f"{n_workers} worker(s) on CUDA need a GPU each, but PyTorch finds {len(gpus)} here: ask for fewer, or use "
            "`--device cpu`"
        )
    return gpus[:n_workers]


def listed(visible: str | None, n_gpus: int) -> tuple[str, ...]:
    """Name the GPUs that a process sees, by CUDA_VISIBLE_DEVICES if it is set, which may name more than there are."""
    names = visible.split(",") if visible is not None else map(str, range(n_gpus))
    return tuple(name.strip() for name in names)[:n_gpus]


def threads_of(n_workers: int, n_cores: int = CPU_COUNT) -> int:
    """Return the threads of each worker of a machine: at least as many as can have arrays on a GPU."""
    return max(LANES, min(THREADS_AT_MOST, n_cores // n_workers))


def _one_each(gpus: Sequence[str], folder: str) -> SpecCluster:
    return processes(gpus, {"nthreads": threads_of(len(gpus))}, Security.temporary(), 0, folder)


def processes(
    gpus: Sequence[str | None], nanny: Mapping[str, Any], security: Security, port: int, folder: str
) -> SpecCluster:
    """Start a scheduler here on loopback, and a worker process for each of `gpus`; None: it has none of its own.

    Parameters
    ----------
    nanny
        What each worker is given besides.
    port
        Of the scheduler; 0: a free one.
    folder
        Where workers may spill.
    """
    common: dict[str, Any] = {"host": "127.0.0.1", "protocol": "tls://", "security": security}
    scheduler = {"port": port, "dashboard": True, "dashboard_address": "127.0.0.1:0"}
    worker = {**nanny, "local_directory": folder, "silence_logs": logging.CRITICAL}
    own = [{} if gpu is None else {"env": {"CUDA_VISIBLE_DEVICES": gpu}} for gpu in gpus]
    return SpecCluster(
        scheduler={"cls": Scheduler, "options": common | scheduler},
        workers={
            number: {"cls": OwnNanny, "options": common | worker | each} for number, each in enumerate(own)
        },
        security=security,
        silence_logs=logging.CRITICAL,
    )
