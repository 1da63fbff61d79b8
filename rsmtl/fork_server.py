"""One fork server for this process: worker processes are copies of it, with everything imported, and start at once.

`multiprocessing` has a single fork server per process, which our clusters share. It is a Python of its own that
imports `rsmtl.preloaded` and then forks whenever it is asked to. It runs one thread, since a fork copies no other.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker

from rsmtl.lifeline import end_with_parent
from rsmtl.logs import tell

METHOD = "DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD"
"""Environment variable by which Dask is told how to start worker processes: `spawn` turns the fork server off."""
PARENT = "RSMTL_FORK_SERVER_PARENT"
"""Environment variable of the server: the process that it ends with."""
PRELOAD = "rsmtl.preloaded"

_FOR_WORKERS = {
    "MALLOC_TRIM_THRESHOLD_": "65536",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""What Dask sets for the processes it spawns, unless it is set. It must be there before libraries are loaded."""
_HASH_SEED = "6640"
"""Dask's own for all workers, whatever is set."""

_READ_AT_START = (
    *("LD_", "MALLOC_", "PYTHON", "LC_", "LANG"),
    *("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "GOTO_", "BLIS_", "ATEN_", "DNNL_", "ONEDNN_"),
    *("TORCH", "PYTORCH_", "NUMPY_", "NPY_", "MPL", "FSSPEC_", "ZARR_", "PROJ_", "PROMETHEUS_"),
    "DASK_LOGGING",
)
"""Beginnings of variables that Python or a library reads once, when it is loaded: a copy of the server has those of
the server. Workers are spawned where they have changed since it was started."""
_HANDED_OVER = ("OMP_NUM_THREADS", "PYTHONPATH", "PYTHONHASHSEED", "PYTHONSAFEPATH")
"""Those of them that reach workers all the same."""
_SET_BY_LIBRARIES = ("PROJ_CURL_CA_BUNDLE", "KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK")
"""Those of them that rasterio (pyproj) and scikit-learn set when they are imported, which says nothing of the user: the
server is often started before this process imports them."""

_LOG = logging.getLogger(__name__)
_lock = threading.Lock()
_started_with: dict[str, str] | None = None


def chosen() -> bool:
    """Return whether the environment leaves the choice to us; Dask, which also has files, takes long to be asked."""
    return os.environ.get(METHOD, "forkserver") == "forkserver"


def start() -> bool:
    """Start the fork server unless it runs; return whether workers can be forked from it, and log why not.

    It takes milliseconds; what the server imports takes seconds, beside whatever this process does meanwhile. When
    workers are asked for sooner, they wait for it.
    """
    global _started_with
    with _lock:
        reason = _hindrance()
        if reason is None:
            environment = _environment()
            try:
                forkserver.set_forkserver_preload([PRELOAD])
                with interrupts_held_back(), _environ(environment):
                    forkserver.ensure_running()
            except OSError as error:  # no socket, for example: its path in TMPDIR is too long
                reason = " ".join(str(error).split())
            else:
                _started_with = _started_with or environment
    if reason is not None:
        tell(_LOG, "fork server not used", reason=reason)
    return reason is None


def _hindrance() -> str | None:
    """Say why workers cannot be forked from a server of ours; None: they can."""
    if sys.platform != "linux":
        return "copies end with their server on Linux alone"
    if _started_with is None:
        # Private; there is no other way to find a server that somebody else started, with imports of their own.
        there = getattr(forkserver, "_forkserver", None)
        return None if getattr(there, "_forkserver_pid", None) is None else "this process has another one"
    before, now = _read_at_start(_started_with), _read_at_start(_environment())
    changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return f"changed since it was started: {', '.join(changed)}" if changed else None


def _environment() -> dict[str, str]:
    """Return the server's own environment.

    It imports from where this process does, but not, as `python -c` would, from the working directory first, where
    anybody's files may lie.
    """
    environment = {
        **_FOR_WORKERS,
        **os.environ,
        "PYTHONHASHSEED": _HASH_SEED,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "PYTHONSAFEPATH": "1",
    }
    # To the kernel the parent is the thread that starts a process; only the main thread lasts as long as this process.
    if threading.current_thread() is threading.main_thread():
        environment[PARENT] = str(os.getpid())
    return environment


def _read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(_READ_AT_START) and name not in (*_HANDED_OVER, *_SET_BY_LIBRARIES)
    }


@contextmanager
def _environ(environment: Mapping[str, str]) -> Iterator[None]:
    """Have the process that the block starts see an environment: `multiprocessing` has no argument for it."""
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class Environment(dict[str, str]):
    """An environment that becomes that of the worker process which unpickles it, the first thing that process does.

    A copy of the server has the variables of the time when that was started.
    """

    def __reduce__(self) -> tuple[Callable[[dict[str, str]], dict[str, str]], tuple[dict[str, str]]]:
        """Pickle as a call of `_become_worker`."""
        return _become_worker, (dict(self),)


def _become_worker(environment: dict[str, str]) -> dict[str, str]:
    """Give this copy of the server its environment and its threads, and have it end when the server does.

    Otherwise nobody would end it, and whoever waits for the server's copies would start another in its place.
    """
    end_with_parent()
    if os.getppid() == 1:
        os._exit(1)
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)
    n_threads = environment.get("OMP_NUM_THREADS", "").split(",")[0]  # read by OpenMP when it was loaded
    torch = sys.modules.get("torch")
    if torch and n_threads.isdecimal() and int(n_threads) not in (0, torch.get_num_threads()):
        torch.set_num_threads(int(n_threads))
    return environment


@contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Hold back Ctrl-C, which a terminal sends to all processes, from the threads and processes that are started.

    They keep it so; the caller's thread gets what came meanwhile at the end of the block, and can end them in order.
    """
    resource_tracker.ensure_running()  # or else it is started with the first process, and lets signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
