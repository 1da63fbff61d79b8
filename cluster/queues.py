"""What Slurm and PBS have in common: what a job asks for, its script, and jobs for those that have ended."""

import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import dask
import typer
from dask.utils import parse_bytes
from distributed.core import Status
from tornado.ioloop import PeriodicCallback

from cluster.access import FOLDER, access
from cluster.command import AccessOption, HostOption, OfferOption, PortOption, stand
from cluster.jobqueue import JobQueueCluster
from cluster.worker import LOOPBACK, Offer, Worker
from rsmtl.dispatch.executors import PATIENCE
from rsmtl.errors import InputError, RunError

GPU_THREADS = 4
"""Of a worker with a GPU: one computes while the others read and write."""
LOOK_S = 5.0
GONE_S = 60.0
"""How long a job's workers may be away before another is submitted; a worker that died is back after seconds."""


@dataclass(frozen=True)
class Jobs:
    """What is asked of a queue: each job has one or several workers on one node."""

    workers: int
    memory: str
    """Of each worker."""
    per_job: int = 1
    walltime: str = "01:00:00"
    queue: str | None = None
    account: str | None = None
    gpu: bool = False
    """Each job has one, and one worker that uses it."""
    offers: Sequence[Offer] = ()
    host: str | None = None
    """Of the scheduler, as the nodes reach it."""
    port: int = 0
    logs: Path | None = None

    def __post_init__(self) -> None:
        if self.workers % self.per_job:
            raise InputError(f"{self.workers} workers cannot be shared out in jobs of {self.per_job}")
        if self.gpu and self.per_job > 1:
            raise InputError("a job with a GPU has one worker: leave --per-job out")
        if self.memory == "auto":
            raise InputError("a job needs an amount of memory to ask for, such as 4GiB")

    @property
    def n_jobs(self) -> int:
        """How many there are."""
        return self.workers // self.per_job

    @property
    def worker(self) -> Worker:
        """Each of their workers."""
        return Worker(GPU_THREADS if self.gpu else 1, self.memory, self.offers)

    @property
    def cores(self) -> int:
        """Of a job."""
        return self.per_job * self.worker.threads

    @property
    def memory_bytes(self) -> int:
        """Of a job."""
        return self.per_job * int(parse_bytes(self.worker.memory))


@contextmanager
def queue_cluster(
    kind: Callable[..., JobQueueCluster],
    submit: str,
    jobs: Jobs,
    folder: Path = FOLDER,
    **directives: Any,
) -> Iterator[JobQueueCluster]:
    """Submit jobs, submit others for those that end, and cancel all with the block.

    Parameters
    ----------
    kind
        Of cluster.
    submit
        Its command.
    jobs
        What is asked for.
    folder
        Is made for the cluster's certificate; the nodes must see it under the same path.
    directives
        What one kind of queue alone takes.

    Raises
    ------
    InputError
        If there is no such queue here, or the folder is there already.
    RunError
        If the queue refuses a job.
    """
    if shutil.which(submit) is None:
        raise InputError(
            f"there is no `{submit}` on this machine: start the cluster where jobs can be submitted"
        )
    with (
        access(folder) as security,
        dask.config.set({"distributed.deploy.lost-worker-timeout": PATIENCE}),
        kind(security=security, **_options(jobs), **directives) as cluster,
    ):
        _submit(cluster, jobs.n_jobs)
        again = PeriodicCallback(_Again(cluster), LOOK_S * 1000)
        cluster.loop.add_callback(again.start)
        try:
            yield cluster
        finally:
            cluster.loop.add_callback(again.stop)


def _options(jobs: Jobs) -> dict[str, Any]:
    """For dask-jobqueue: one process per worker with its nanny, and a private folder on the node's own disk."""
    return {
        "cores": jobs.cores,
        "processes": jobs.per_job,
        "memory": f"{jobs.memory_bytes} B",
        "walltime": jobs.walltime,
        "queue": jobs.queue,
        "account": jobs.account,
        "job_name": "rsmtl",
        "python": shlex.quote(sys.executable),
        "local_directory": '"$scratch"',
        "death_timeout": 60,
        "worker_extra_args": jobs.worker.arguments,
        "job_script_prologue": [
            "export OMP_NUM_THREADS=1",
            'scratch=$(mktemp -d "${TMPDIR:-/tmp}/rsmtl-worker-XXXXXX") || exit 1',
            "trap 'rm -rf \"$scratch\"' EXIT",
        ],
        "log_directory": None if jobs.logs is None else os.fspath(jobs.logs.absolute()),
        "scheduler_options": {"port": jobs.port, "dashboard_address": LOOPBACK}
        | ({"host": jobs.host} if jobs.host else {}),
    }


def _submit(cluster: JobQueueCluster, n_jobs: int) -> None:
    """Submit all jobs, and wait until the queue has taken them."""
    for _ in range(n_jobs):
        cluster.worker_spec.update(cluster.new_worker_spec())
    try:
        cluster.sync(_corrected, cluster)
    except RuntimeError as error:
        for job in cluster.workers.values():
            job.status = Status.failed  # or Dask, which made them, would miss their end
        said = [line for line in str(error).splitlines() if line and not line.endswith(":")]
        raise RunError(f"the queue refuses the job: {said[-1] if said else error}") from error


async def _corrected(cluster: JobQueueCluster) -> None:
    await cluster


class _Again:
    """Submits a job in the place of one that has ended, by its walltime or because its node is gone.

    By itself dask-jobqueue goes on with the others.
    """

    def __init__(self, cluster: JobQueueCluster) -> None:
        self._cluster = cluster
        self._seen: dict[str, float] = {}
        """When a worker of a job was last there."""

    async def __call__(self) -> None:
        now = time.monotonic()
        workers = {str(worker.name) for worker in self._cluster.scheduler.workers.values()}
        for job, spec in self._cluster.worker_spec.items():
            if workers & {f"{job}{suffix}" for suffix in spec.get("group", [""])}:
                self._seen[job] = now
        ended = [job for job, seen in self._seen.items() if now - seen > GONE_S]
        refused = [job for job, it in self._cluster.workers.items() if it.job_id is None]
        for job in {*ended, *refused} & set(self._cluster.workers):
            self._seen.pop(job, None)
            old = self._cluster.workers.pop(job)
            with suppress(RuntimeError):
                await old.close()
            old.status = Status.closed
        self._cluster.scale(jobs=len(self._cluster.worker_spec))  # type: ignore[no-untyped-call]


def queue_command(
    bring_up: Callable[[Jobs, Path], AbstractContextManager[JobQueueCluster]],
) -> Callable[..., int]:
    """Return the command of a kind of queue."""

    def command(
        workers: Annotated[int, typer.Option(metavar="N", min=1, help="Worker processes in all.")],
        memory: Annotated[
            str,
            typer.Option(
                metavar="SIZE", help="Memory of each worker process, such as 4GiB.", show_default=False
            ),
        ],
        per_job: Annotated[
            int, typer.Option(metavar="N", min=1, help="Worker processes in a job; they share a node.")
        ] = 1,
        walltime: Annotated[
            str,
            typer.Option(
                metavar="TIME", help="What a job may take; for one that has ended, another is submitted."
            ),
        ] = "01:00:00",
        queue: Annotated[
            str | None,
            typer.Option(metavar="NAME", help="Where jobs go; else the site's default.", show_default=False),
        ] = None,
        account: Annotated[
            str | None, typer.Option(metavar="NAME", help="What jobs are charged to.", show_default=False)
        ] = None,
        gpu: Annotated[
            bool, typer.Option("--gpu", metavar="", help="One worker and one GPU in each job.")
        ] = False,
        offer: OfferOption = [],  # noqa: B006 (typer copies it)
        host: HostOption = None,
        port: PortOption = 0,
        logs: Annotated[
            Path | None,
            typer.Option(
                metavar="DIR",
                help="Folder for what jobs print; else where the queue puts it.",
                show_default=False,
            ),
        ] = None,
        access: AccessOption = FOLDER,
    ) -> int:
        """Bring up a cluster whose workers are jobs of a queue, and keep it until Ctrl-C.

        The access folder must be on storage that the nodes share.
        """
        jobs = Jobs(workers, memory, per_job, walltime, queue, account, gpu, offer, host, port, logs)
        return stand(bring_up(jobs, access), access, workers)

    return command
