"""How workers of our own clusters are started: forked from one server, or spawned."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import dask
import distributed
from distributed import Nanny
from distributed.core import Status

from rsmtl import fork_server
from rsmtl.fork_server import Environment

_METHOD = "distributed.worker.multiprocessing-method"


class OwnNanny(Nanny):  # type: ignore[misc]
    """Starts and restarts a worker with the environment that this process has at the time, however it is started."""

    env: dict[str, str]
    _given: dict[str, str] | None = None

    async def instantiate(self) -> Status:
        """Start the worker's process."""
        if dask.config.get(_METHOD) == "forkserver":
            fork_server.start()  # again, if it has died
            self._given = self.env if self._given is None else self._given
            self.env = Environment({**os.environ, **self._given})
            if self.process is not None:
                self.process.env = self.env
        return await super().instantiate()


@contextmanager
def forked_workers() -> Iterator[None]:
    """Have the workers that are started in the block forked, where that is possible and Dask's configuration allows.

    The setting is Dask's own: what a user's files or environment say of it goes first.
    """
    method = dask.config.get(_METHOD, "forkserver", config=dask.config.collect())
    if method == "forkserver" and not fork_server.start():
        method = "spawn"
    # When Dask first uses a fork server, it imports a dozen optional packages here to have them preloaded, unless this
    # private flag is set. If a later version does not know it, starting takes longer; our server, which runs already,
    # stays as it is.
    distributed.utils._forkserver_preload_set = True
    with dask.config.set({_METHOD: method}):
        yield


@contextmanager
def spawned_workers() -> Iterator[None]:
    """Have the workers that are started in the block spawned: they use GPUs, of which no copy of a process may."""
    with dask.config.set({_METHOD: "spawn"}):
        yield
