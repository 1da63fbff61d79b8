"""Worker processes on this machine, for several commands and notebooks; a GPU each, if asked for.

python -m cluster.local --workers 4
python -m cluster.local --workers 2 --device cuda
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from dask.system import CPU_COUNT
from distributed import SpecCluster

from cluster.access import FOLDER, access
from cluster.command import AccessOption, OfferOption, PortOption, run_command, stand
from cluster.worker import Offer, Worker
from rsmtl.dispatch import gpus_for, threads_of
from rsmtl.dispatch.executors import own_cluster
from rsmtl.dispatch.gpus import processes


class Device(StrEnum):
    """What the workers compute on."""

    CPU = "cpu"
    CUDA = "cuda"


@contextmanager
def machine_cluster(
    workers: int,
    folder: Path = FOLDER,
    *,
    device: str = Device.CPU,
    memory: str = "auto",
    offers: Sequence[Offer] = (),
    port: int = 0,
) -> Iterator[SpecCluster]:
    """Start worker processes on this machine that other processes can use too, and end them with the block.

    Parameters
    ----------
    folder
        Is made for the cluster's certificate, without which nobody gets in.
    device
        `cuda`: each process has a GPU of its own.
    memory
        Of each process.
    offers
        What the workers are kept for.
    port
        Of the scheduler, on 127.0.0.1; 0: a free one.

    Raises
    ------
    PlanError
        If there are fewer GPUs than workers.
    InputError
        If the folder is there already.
    """
    on_gpus = device == Device.CUDA
    gpus: Sequence[str | None] = gpus_for(workers) if on_gpus else [None] * workers
    worker = Worker(threads_of(workers) if on_gpus else 1, memory, offers)
    with (
        access(folder) as security,
        own_cluster(partial(processes, gpus, worker.options, security, port), on_gpus=on_gpus) as own,
    ):
        yield own.client.cluster


def main(
    workers: Annotated[int, typer.Option(metavar="N", min=1, help="Worker processes to start.")] = CPU_COUNT,
    device: Annotated[Device, typer.Option(help="cuda: a GPU for each worker process.")] = Device.CPU,
    memory: Annotated[
        str,
        typer.Option(metavar="SIZE", help="Memory of each worker process, such as 4GiB; auto: its share."),
    ] = "auto",
    offer: OfferOption = [],  # noqa: B006 (typer copies it)
    access: AccessOption = FOLDER,
    port: PortOption = 0,
) -> int:
    """Bring up a cluster on this machine, and keep it until Ctrl-C."""
    cluster = machine_cluster(workers, access, device=device, memory=memory, offers=offer, port=port)
    return stand(cluster, access, workers)


if __name__ == "__main__":
    sys.exit(run_command(main))
