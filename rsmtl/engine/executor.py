"""Who runs jobs: the seam between what is to be done and the machines that do it."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any, Protocol

import psutil


class Executor(Protocol):
    """Runs jobs, somewhere. `dispatch` has one for threads and one for a Dask cluster."""

    @property
    def n_slots(self) -> int:
        """Jobs that run at the same time; workers may join and leave meanwhile."""

    @property
    def slot_bytes(self) -> int:
        """Memory that one job may use."""

    def share(self, value: Any) -> Any:
        """Return a stand-in for a value that many jobs are given, so that it travels to a worker once."""

    def submit(self, function: Callable[..., Any], *args: Any) -> "Future[Any]":
        """Start a job; stand-ins among `args` arrive as their values."""

    def overdue(self, futures: Iterable["Future[Any]"], limit_s: float) -> list["Future[Any]"]:
        """Return those whose jobs have been running for longer than a limit; time spent waiting does not count."""

    def abandon(self, futures: Iterable["Future[Any]"]) -> str:
        """Give up jobs that hang, so that they occupy no slot; their futures are of no use any more.

        Returns
        -------
        str
            Where they ran and what became of that, for a message: `on a worker, which was restarted`.
        """


class SerialExecutor:
    """Runs each job at once, in the caller's thread."""

    n_slots = 1

    @property
    def slot_bytes(self) -> int:
        """What the machine has free."""
        return int(psutil.virtual_memory().available)

    def share(self, value: Any) -> Any:
        """Return the value itself."""
        return value

    def submit(self, function: Callable[..., Any], *args: Any) -> "Future[Any]":
        """Run the job and return its outcome."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def overdue(self, futures: Iterable["Future[Any]"], limit_s: float) -> list["Future[Any]"]:
        """Return nothing: whoever could ask is busy with the job."""
        return []

    def abandon(self, futures: Iterable["Future[Any]"]) -> str:
        """Do nothing, as no job hangs that anybody could give up."""
        return "in this thread"


_: type[Executor] = SerialExecutor

AHEAD = 2
"""Jobs handed out per slot: one that runs and one that waits, so that no slot idles between two."""


def in_order(
    executor: Executor, function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]
) -> Iterator[Any]:
    """Yield what a function gives for each of many arguments, in their order, with a bounded number handed out."""
    pending: deque[Future[Any]] = deque()
    try:
        for args in arguments:
            if len(pending) >= AHEAD * executor.n_slots:
                yield pending.popleft().result()
            pending.append(executor.submit(function, *args))
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
