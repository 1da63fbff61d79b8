"""Where jobs run: threads of this process, or the workers of a Dask cluster.

A run's state is in its store, not here: a worker that dies takes
with it nothing but the jobs it was running, and those are given to another.
"""

import ctypes
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import Any

import psutil
from distributed import Client, KilledWorker, LocalCluster, Worker, WorkerPlugin
from distributed.comm import CommClosedError

from rsmtl.engine.executor import Executor
from rsmtl.errors import InputError, RsmtlError, RunError

INFERENCE, TRAINING = "inference", "training"
"""Resources that workers may offer, so that the two share a cluster: `dask worker --resources "training=1"`."""


class ThreadExecutor:
    """Runs jobs in threads of this process; torch lets go of the interpreter while it computes."""

    def __init__(self, pool: ThreadPoolExecutor, n_slots: int) -> None:
        self._pool = pool
        self.n_slots = n_slots

    @property
    def slot_bytes(self) -> int:
        """A share of what the machine has free."""
        return int(psutil.virtual_memory().available // self.n_slots)

    def share(self, value: Any) -> Any:
        """Return the value itself: threads share memory."""
        return value

    def submit(self, function: Callable[..., Any], *args: Any) -> "Future[Any]":
        """Start a job."""
        return self._pool.submit(function, *args)


class ClusterExecutor:
    """Runs jobs on the workers of a Dask cluster."""

    def __init__(self, client: Client) -> None:
        self.client = client
        client.register_plugin(_KeepFreedMemory())
        self._pool = client.get_executor(pure=False, resources=offered(client, INFERENCE))
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        self.n_slots = sum(worker["nthreads"] for worker in workers)
        limits = [
            (w["memory_limit"] or sys.maxsize) // w["nthreads"] for w in workers
        ]  # 0: a worker without a limit
        self._slot_bytes = min(limits)

    @property
    def slot_bytes(self) -> int:
        """The least memory of a worker, shared among its threads."""
        return int(self._slot_bytes)

    @property
    def dashboard(self) -> str:
        """Address of the cluster's dashboard."""
        return str(self.client.dashboard_link)

    def share(self, value: Any) -> Any:
        """Put a value on the cluster as the result of a task, which the scheduler can run again if its worker dies."""
        return self.client.submit(_itself, value, pure=False)

    def submit(self, function: Callable[..., Any], *args: Any) -> "Future[Any]":
        """Start a job."""
        return self._pool.submit(_Job(function), *args)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class _Job:
    """A function whose errors can travel: what caused them stays behind, since it may not (GDAL's errors do not)."""

    function: Callable[..., Any]

    @property
    def __name__(self) -> str:
        """What the dashboard calls it."""
        return self.function.__name__

    def __call__(self, *args: Any) -> Any:
        try:
            return self.function(*args)
        except RsmtlError as error:
            error.__cause__ = error.__context__ = None
            raise


class _KeepFreedMemory(WorkerPlugin):  # type: ignore[misc]
    """Tunes the allocator of every worker, also of those that join later."""

    name = "rsmtl-keep-freed-memory"

    def setup(self, worker: Worker) -> None:
        """Tune this worker's process."""
        keep_freed_memory()


def keep_freed_memory() -> None:
    """Let the C library keep the memory that is freed, for the whole process; does nothing where it is not glibc.

    A forward pass allocates and frees the same tens of megabytes for every window. Given back to the system each
    time, as Dask's nannies arrange it (`MALLOC_TRIM_THRESHOLD_=65536`), they cost a page fault per 4 KiB when taken
    again, which can take a third of the time.
    """
    trim_threshold, mmap_max, arena_max = -1, -4, -8
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(mmap_max, 0)
    mallopt(arena_max, 1)


def offered(client: Client, resource: str) -> dict[str, float] | None:
    """Return what a task asks for: one of a resource, if any worker offers it, or else nothing."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return {resource: 1} if any(resource in worker["resources"] for worker in workers) else None


def _itself(value: Any) -> Any:
    return value


@contextmanager
def threads(n_threads: int) -> Iterator[Executor]:
    """Run jobs in `n_threads` threads of this process while the block lasts; an error does not wait for them."""
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="rsmtl")
    try:
        yield ThreadExecutor(pool, n_threads)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


@contextmanager
def local_cluster(n_workers: int) -> Iterator[ClusterExecutor]:
    """Start worker processes on this machine, one thread each, and end them with the block.

    Their logs are silent: a job's error reaches the caller of `submit`.
    """
    with ExitStack() as stack:
        with _interrupts_held_back():
            cluster = LocalCluster(
                n_workers=n_workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
            )
            client = stack.enter_context(Client(stack.enter_context(cluster)))
        stack.enter_context(said_plainly())
        yield ClusterExecutor(client)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Hold back Ctrl-C, which a terminal sends to all processes, from the threads and processes that are started.

    They keep it so; the caller's thread gets what came meanwhile at the end of the block, and can end them in order.
    """
    resource_tracker.ensure_running()  # or else it is started with the first process, and lets signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def cluster_at(address: str) -> Iterator[ClusterExecutor]:
    """Use a cluster that stands; it goes on when the block ends.

    Raises
    ------
    InputError
        If no scheduler answers at the address, or it has no workers.
    """
    try:
        client = Client(address, timeout="10s")
    except (OSError, ValueError) as error:
        raise InputError(
            f"no Dask scheduler answers at {address!r}: start one, or mend the address"
        ) from error
    with client, said_plainly():
        if not client.scheduler_info(n_workers=-1)["workers"]:
            raise InputError(
                f"the scheduler at {address!r} has no workers: start some with `dask worker {address}`"
            )
        yield ClusterExecutor(client)


@contextmanager
def said_plainly() -> Iterator[None]:
    """Turn what a cluster says of a job that cannot be done into a `RunError`."""
    try:
        yield
    except KilledWorker as error:
        raise RunError(
            "a job ended its worker several times over, most likely for want of memory: use a smaller chunk or "
            "batch, or workers with more memory, and finish with --resume"
        ) from error
    except (CancelledError, CommClosedError) as error:
        raise RunError("the cluster's scheduler is gone: start it again, and finish with --resume") from error
