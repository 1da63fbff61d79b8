"""Threads of this process that run jobs, of which one that hangs can be given up."""

import atexit
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

import psutil

from rsmtl.engine.executor import Executor


@dataclass(eq=False)
class _Job:
    """A job that waits or runs."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    future: "Future[Any]" = field(default_factory=Future)
    thread: threading.Thread | None = None
    """That runs it."""
    began_s: float = float("inf")


class ThreadExecutor:
    """Runs jobs in threads of this process; torch lets go of the interpreter while it computes.

    Unlike those of the standard library's pool, a thread that hangs does not keep the process from ending.
    """

    def __init__(self, n_slots: int) -> None:
        self.n_slots = n_slots
        self._waiting: SimpleQueue[_Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._jobs: dict[Future[Any], _Job] = {}
        self._threads: list[threading.Thread] = []
        """Without those that were given up."""
        for _ in range(n_slots):
            self._start_thread()

    @property
    def slot_bytes(self) -> int:
        """A share of what the machine has free."""
        return int(psutil.virtual_memory().available // self.n_slots)

    def share(self, value: Any) -> Any:
        """Return the value itself: threads share memory."""
        return value

    def submit(self, function: Callable[..., Any], *args: Any) -> "Future[Any]":
        """Start a job."""
        job = _Job(function, args)
        with self._lock:
            self._jobs[job.future] = job
        self._waiting.put(job)
        return job.future

    def overdue(self, futures: Iterable["Future[Any]"], limit_s: float) -> list["Future[Any]"]:
        """Return those whose jobs have been running for longer than a limit."""
        latest = time.monotonic() - limit_s
        return [future for future in futures if future in self._jobs and self._jobs[future].began_s < latest]

    def abandon(self, futures: Iterable["Future[Any]"]) -> str:
        """Give up jobs that hang: their threads cannot be ended, and others take their places."""
        for future in futures:
            with self._lock:
                job = self._jobs.get(future)
                if future.cancel() or job is None or job.thread not in self._threads:
                    continue
                self._threads.remove(job.thread)
                self._start_thread()
        return "in a thread, which cannot be ended and was left behind"

    def close(self, *, wait: bool) -> None:
        """Take no more jobs, and wait for those handed out; or else drop those that wait, and leave those that run."""
        if not wait:
            for future in list(self._jobs):
                future.cancel()
        for _ in self._threads:
            self._waiting.put(None)
        if wait:
            self._join()
        else:
            atexit.register(self._join)  # or the interpreter would go while a library runs its code

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._work, name="rsmtl", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        me = threading.current_thread()
        while job := self._waiting.get():
            job.thread, job.began_s = me, time.monotonic()
            if job.future.set_running_or_notify_cancel():
                _run(job)
            with self._lock:
                del self._jobs[job.future]
                if me not in self._threads:  # it was given up, and came back after all
                    return


def _run(job: _Job) -> None:
    try:
        result = job.function(*job.args)
    except BaseException as error:
        job.future.set_exception(error)
    else:
        job.future.set_result(result)


@contextmanager
def threads(n_threads: int) -> Iterator[Executor]:
    """Run jobs in `n_threads` threads of this process while the block lasts; an error does not wait for them."""
    pool = ThreadExecutor(n_threads)
    try:
        yield pool
    except BaseException:
        pool.close(wait=False)
        raise
    pool.close(wait=True)
