"""Jobs on the workers of a Dask cluster, one that stands or one of our own.

A run's state is in its store, not here: a worker that dies takes
with it nothing but the jobs it was running, and those are given to another.
"""

import asyncio
import ctypes
import logging
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import dask
from distributed import Client, KilledWorker, LocalCluster, Scheduler, SpecCluster, Worker, WorkerPlugin
from distributed import Future as DaskFuture
from distributed.client import ClosedClientError
from distributed.comm import CommClosedError

from rsmtl.dispatch.connect import connect
from rsmtl.dispatch.forked import OwnNanny, forked_workers, spawned_workers
from rsmtl.dispatch.lost import lost_workers_told
from rsmtl.dispatch.metrics import observe
from rsmtl.dispatch.script import script_left_alone
from rsmtl.engine.jobs import Receipt
from rsmtl.errors import InputError, RsmtlError, RunError
from rsmtl.fork_server import interrupts_held_back

INFERENCE, TRAINING = "inference", "training"
"""Resources that workers may offer, so that the two share a cluster: `dask worker --resources "training=1"`."""

PATIENCE = "1 day"
"""Before a cluster of our own gives up a worker that is away. By itself it looks 15 s after one was lost: where that is
lost again just then, or takes so long to start, it would end the nanny, and the cluster have a worker less for good."""
_RESTART_S = 30.0
"""How long ending a worker may take; one that hangs is killed after four seconds."""

_SPREAD_S = 1.0
"""How long what is shared may take to reach all workers before jobs are handed out; one of them may hang."""
_SPREAD_LOOK_S = 0.005

_COUNT_S = 2.0
"""Between two counts of a cluster's threads: workers may join and leave while a run goes on."""


@contextmanager
def cluster_errors() -> Iterator[None]:
    """Turn what a cluster says of a job that cannot be done, or of itself, into a `RunError`."""
    try:
        yield
    except (KilledWorker, CancelledError, CommClosedError, ClosedClientError) as error:
        raise _sentence(error) from error


def _sentence(error: Exception) -> Exception:
    """Return what a user is told of an error of Dask's; any other is left as it is."""
    if isinstance(error, KilledWorker):
        told = RunError(
            "a job ended its worker several times over, most likely for want of memory: use a smaller chunk or "
            "batch, or workers with more memory, and finish with --resume"
        )
    elif isinstance(error, CancelledError | CommClosedError | ClosedClientError):
        told = RunError("the cluster's scheduler is gone: start it again, and finish with --resume")
    else:
        return error
    told.__cause__ = error
    return told


class ClusterExecutor:
    """Runs jobs on the workers of a Dask cluster."""

    def __init__(self, client: Client) -> None:
        self.client = client
        client.register_plugin(_KeepFreedMemory())
        self._resources = offered(client, INFERENCE)
        workers = workers_of(client).values()
        if not workers:
            raise InputError("the cluster has no workers: wait for some with Client.wait_for_workers")
        self._n_slots = sum(worker["nthreads"] for worker in workers)
        self._counted_s = time.monotonic()
        limits = [
            (w["memory_limit"] or sys.maxsize) // w["nthreads"] for w in workers
        ]  # 0: a worker without a limit
        self._slot_bytes = min(limits)
        self._keys: WeakKeyDictionary[Future[Any], str] = WeakKeyDictionary()
        self._ahead_s: WeakKeyDictionary[Future[Any], float] = WeakKeyDictionary()

    @property
    def n_slots(self) -> int:
        """Threads of all workers there are. More of them are handed more, by which an autoscaler sees more to do."""
        if time.monotonic() - self._counted_s > _COUNT_S:
            with suppress(OSError):  # a scheduler that is gone is told of by the jobs that are lost with it
                self._n_slots = max(1, sum(self.client.nthreads().values()))
            self._counted_s = time.monotonic()
        return int(self._n_slots)

    @property
    def slot_bytes(self) -> int:
        """The least memory of a worker, shared among its threads."""
        return int(self._slot_bytes)

    @property
    def dashboard(self) -> str:
        """Address of the cluster's dashboard."""
        return str(self.client.dashboard_link)

    @cluster_errors()
    def share(self, value: Any) -> Any:
        """Put a value on every worker as the result of a task, which the scheduler can run again if its worker dies."""
        shared = self.client.submit(_itself, _Unseen(value), pure=False)
        self.client.run_on_scheduler(_spread, shared.key, list(self._resources or ()))
        return shared

    @cluster_errors()
    def submit(self, function: Callable[..., Any], *args: Any) -> "Future[Any]":
        """Start a job. What becomes of it is what the function returns or raises, or a `RunError` of the cluster."""
        key = f"{function.__name__}-{uuid.uuid4()}"
        job = self.client.submit(
            _Job(function), *map(_unseen, args), key=key, pure=False, resources=self._resources
        )
        future: Future[Any] = Future()
        future.add_done_callback(lambda it: job.cancel() if it.cancelled() and not job.cancelled() else None)
        self.client.loop.add_callback(_hand_over, job, future)
        self._keys[future], self._ahead_s[future] = key, _ahead_s()
        return future

    @cluster_errors()
    def overdue(self, futures: Iterable["Future[Any]"], limit_s: float) -> list["Future[Any]"]:
        """Return those whose jobs have been running for longer than a limit, or are on a worker that is silent so long.

        The scheduler knows it from the workers' heartbeats; one that a job keeps from answering has none. Dask counts
        by the wall clock, which goes on while this machine is suspended: what it has leapt since a job was handed out
        is taken off.
        """
        keys = {future: self._keys[future] for future in futures}
        seconds = self.client.run_on_scheduler(_seconds_on_workers, list(keys.values()))
        ahead_s = _ahead_s()
        spent_s = {f: seconds.get(key, 0.0) - (ahead_s - self._ahead_s[f]) for f, key in keys.items()}
        return [future for future, one in spent_s.items() if one > limit_s]

    @cluster_errors()
    def abandon(self, futures: Iterable["Future[Any]"]) -> str:
        """Give up jobs that hang: the workers that have them are restarted, as nothing else ends what they are at.

        What else they had is run again. A worker without a nanny is sent away, and whoever looks after it must start
        another.
        """
        futures = list(futures)
        workers = self.client.run_on_scheduler(_workers_with, [self._keys[future] for future in futures])
        for future in futures:
            future.cancel()
        became = self.client.sync(
            self.client.scheduler.restart_workers,
            workers=workers,
            timeout=_RESTART_S,
            wait_for_workers=False,
            on_error="return",
            stimulus_id=f"rsmtl-abandon-{uuid.uuid4()}",
        )
        if "removed" in became.values():
            return "on a worker, which has no nanny to restart it and was sent away"
        return "on a worker, which was restarted"


async def _hand_over(job: DaskFuture, future: "Future[Any]") -> None:
    """Give a future the outcome of a job, whatever it is, and errors of the cluster's as a sentence.

    The executor that Dask's client has leaves it waiting for ever if the scheduler dies while the result is fetched.
    """
    try:
        result, error = await job, None
    except Exception as raised:
        result, error = None, raised
    if not future.set_running_or_notify_cancel():  # its job was given up, which is why it was cancelled
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(_sentence(error))


@dataclass(frozen=True)
class _Job:
    """A function whose errors can travel: what caused them stays behind, since it may not (GDAL's errors do not)."""

    function: Callable[..., Any]

    @property
    def __name__(self) -> str:
        """What the dashboard calls it."""
        return self.function.__name__

    def __call__(self, *args: Any) -> Any:
        start = time.perf_counter()
        try:
            result = self.function(*(arg.value if isinstance(arg, _Unseen) else arg for arg in args))
        except Exception as error:
            observe(self.__name__, time.perf_counter() - start, failed=True)
            if isinstance(error, RsmtlError):
                error.__cause__ = error.__context__ = None
            raise
        receipts = (
            result if isinstance(result, list) and isinstance(next(iter(result), None), Receipt) else [result]
        )
        for one in receipts:  # several jobs may come together
            observe(self.__name__, (time.perf_counter() - start) / len(receipts), one)
        return result


@dataclass(frozen=True)
class _Unseen:
    """An argument that workers do not write into their logs when a job fails: URLs may have secrets in them."""

    value: Any = field(repr=False)


def _unseen(arg: Any) -> Any:
    return arg if isinstance(arg, DaskFuture) else _Unseen(arg)


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


def workers_of(client: Client) -> dict[str, dict[str, Any]]:
    """Return what the scheduler says of each worker, by address.

    `Client.scheduler_info` keeps the answer where the client itself puts one without workers every 2 s.
    """
    answer: dict[str, dict[str, dict[str, Any]]] = client.sync(client.scheduler.identity, n_workers=-1)
    return answer["workers"]


def offered(client: Client, resource: str) -> dict[str, float] | None:
    """Return what a task asks for: one of a resource, if any worker offers it, or else nothing."""
    workers = workers_of(client).values()
    return {resource: 1} if any(resource in worker["resources"] for worker in workers) else None


def _ahead_s() -> float:
    """How far the wall clock is ahead of the one that stops while the machine is suspended, and is never set."""
    return time.time() - time.monotonic()


def _itself(hidden: _Unseen) -> Any:
    return hidden.value


async def _spread(key: str, resources: list[str], dask_scheduler: Scheduler) -> None:
    """Have all workers that offer the resources fetch a task's result, and wait for it, unless that takes long.

    The scheduler gives a job to a worker that has what it needs. With one such worker it would get all the first jobs,
    and the others what they steal of them, tenths of seconds later. (`Client.replicate` would cut off whoever listens
    to the cluster's events: it makes one that cannot be sent.)
    """
    asked, latest_s = False, time.monotonic() + _SPREAD_S
    while time.monotonic() < latest_s:
        task = dask_scheduler.tasks.get(key)  # it may come after this call
        if task is not None and task.state == "erred":
            return
        if task is not None and task.who_has:
            able = {one for one in dask_scheduler.running if all(name in one.resources for name in resources)}
            missing = able - task.who_has
            if not missing:
                return
            for worker in () if asked else missing:
                dask_scheduler.request_acquire_replicas(
                    worker.address, [key], stimulus_id=f"rsmtl-spread-{key}"
                )
            asked = True
        await asyncio.sleep(_SPREAD_LOOK_S)


def _seconds_on_workers(keys: list[str], dask_scheduler: Scheduler) -> dict[str, float]:
    """How long each job has been running at least, by the last heartbeat of its worker and the time since."""
    now, seconds = time.time(), {}
    for key in keys:
        task = dask_scheduler.tasks.get(key)
        if task is not None and (worker := task.processing_on) is not None:
            seconds[key] = worker.executing.get(task, 0.0) + now - worker.last_seen
    return seconds


def _workers_with(keys: list[str], dask_scheduler: Scheduler) -> list[str]:
    tasks = (dask_scheduler.tasks.get(key) for key in keys)
    return sorted({task.processing_on.address for task in tasks if task and task.processing_on})


@contextmanager
def local_cluster(n_workers: int) -> Iterator[ClusterExecutor]:
    """Start worker processes on this machine, one thread each, and end them with the block.

    Only this process and its workers can talk to each other: they have certificates of their own, as anybody who
    reaches a scheduler or a worker can run code there, and the address of this machine is open to all its users. For
    the same reason workers spill to a folder of their own. Their logs are silent: a job's error reaches the caller of
    `submit`.
    """
    with own_cluster(partial(_processes, n_workers)) as executor:
        yield executor


def _processes(n_workers: int, folder: str) -> LocalCluster:
    return LocalCluster(
        n_workers=n_workers,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        security=True,
        worker_class=OwnNanny,
        local_directory=folder,
        dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL,
    )


@contextmanager
def own_cluster(start: Callable[[str], SpecCluster], *, on_gpus: bool = False) -> Iterator[ClusterExecutor]:
    """Start a cluster that belongs to the block; `start` is given the folder in which its workers may spill.

    Workers are forked from one server, which takes tenths of a second; those that use GPUs are spawned.
    """
    with ExitStack() as stack:
        private = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="rsmtl-workers-", ignore_cleanup_errors=True)
        )
        stack.enter_context(dask.config.set({"distributed.deploy.lost-worker-timeout": PATIENCE}))
        stack.enter_context(spawned_workers() if on_gpus else forked_workers())
        stack.enter_context(script_left_alone())
        with interrupts_held_back():
            client = stack.enter_context(Client(stack.enter_context(start(private))))
        stack.enter_context(lost_workers_told(client))
        yield ClusterExecutor(client)


@contextmanager
def cluster_at(address: str) -> Iterator[ClusterExecutor]:
    """Use a cluster that stands; it goes on when the block ends.

    Raises
    ------
    InputError
        If there is no way to a scheduler at the address (see `connect`), or it has no workers.
    """
    with connect(address) as client, lost_workers_told(client):
        if not workers_of(client):
            raise InputError(
                f"the scheduler at {address!r} has no workers: start some with `dask worker {address}`"
            )
        yield ClusterExecutor(client)
