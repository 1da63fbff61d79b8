"""Who does the work: the choice between threads, worker processes and a cluster that stands."""

from collections.abc import Iterator
from contextlib import contextmanager

from dask.system import CPU_COUNT

from rsmtl.cli.report import Report
from rsmtl.dispatch import cluster_at, local_cluster, threads
from rsmtl.engine.executor import Executor
from rsmtl.errors import InputError


@contextmanager
def workers_of(
    n_workers: int | None, scheduler: str | None, torch_threads: int, report: Report
) -> Iterator[Executor]:
    """Give the executor that the options ask for, and print the dashboard's address where there is one.

    Raises
    ------
    InputError
        If both options are given, or no cluster answers.
    """
    if n_workers and scheduler:
        raise InputError("--workers starts a cluster and --scheduler uses one that stands: give one of them")
    if not n_workers and not scheduler:
        with threads(max(1, CPU_COUNT // torch_threads)) as pool:
            yield pool
        return
    with cluster_at(scheduler) if scheduler else local_cluster(n_workers or 1) as cluster:
        report.notes.print(f"dashboard: {cluster.dashboard}", style="dim", soft_wrap=True)
        yield cluster
