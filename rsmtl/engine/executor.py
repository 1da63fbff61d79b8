"""Who runs jobs: the seam between what is to be done and the machines that do it."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

import psutil


class Executor(Protocol):
    """Runs jobs, somewhere. `dispatch` has one for threads and one for a Dask cluster."""

    n_slots: int
    """Jobs that run at the same time."""

    @property
    def slot_bytes(self) -> int:
        """Memory that one job may use."""

    def share(self, value: Any) -> Any:
        """Return a stand-in for a value that many jobs are given, so that it travels to a worker once."""

    def submit(self, function: Callable[..., Any], *args: Any) -> "Future[Any]":
        """Start a job; stand-ins among `args` arrive as their values."""


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


_: type[Executor] = SerialExecutor
