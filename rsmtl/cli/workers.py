"""Who does the work: the choice between threads, worker processes and a cluster that stands."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from dask.system import CPU_COUNT

from rsmtl.cli.report import Report
from rsmtl.dispatch import (
    ClusterExecutor,
    cluster_at,
    gpu_cluster,
    gpus_for,
    local_cluster,
    threads,
    threads_of,
)
from rsmtl.engine.executor import Executor
from rsmtl.errors import InputError


@contextmanager
def workers_of(
    n_workers: int | None, scheduler: str | None, torch_threads: int, report: Report, device: str = "cpu"
) -> Iterator[Executor]:
    """Give the executor that the options ask for, and print the dashboard's address where there is one.

    Parameters
    ----------
    device
        On CUDA, each worker process has a GPU of its own.

    Raises
    ------
    InputError
        If both options are given, no cluster answers, or there are fewer GPUs than workers.
    """
    refuse_both(n_workers, scheduler)
    if not n_workers and not scheduler:
        n_threads = threads_of(1) if device == "cuda" else max(1, CPU_COUNT // torch_threads)
        with threads(n_threads) as pool:
            yield pool
        return
    with cluster_at(scheduler) if scheduler else _processes(n_workers or 1, device) as cluster:
        report.notes.print(f"dashboard: {cluster.dashboard}", style="dim", soft_wrap=True)
        yield cluster


def refuse_both(n_workers: int | None, scheduler: str | None) -> None:
    """Raise an `InputError` if both `--workers` and `--scheduler` are given."""
    if n_workers and scheduler:
        raise InputError("--workers starts a cluster and --scheduler uses one that stands: give one of them")


def _processes(n_workers: int, device: str) -> AbstractContextManager[ClusterExecutor]:
    return gpu_cluster(gpus_for(n_workers)) if device == "cuda" else local_cluster(n_workers)
