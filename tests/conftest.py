"""Fixtures every test may use, and the marks by which a part of the suite is chosen.

Nothing here imports PyTorch: a test of a small module must not wait for it.
"""

import os
import signal
import sys
from collections.abc import Iterator
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import TYPE_CHECKING

# One torch thread per process, here and in every worker that a test starts: the suite already runs a process per
# core, and threads that wait for each other on busy cores cost minutes (measured: 190 s instead of 0.7). Set before
# anything imports torch.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
from hypothesis import settings

from tests.awkward import noted
from tests.marks import SHARED

if TYPE_CHECKING:
    from rsmtl.dispatch import ClusterExecutor
    from rsmtl.engine.executor import Executor

# These machines are shared: how long an example takes says nothing.
settings.register_profile("rsmtl", deadline=None, max_examples=60)
settings.load_profile("rsmtl")

MARKS = {
    "awkward": "awkward",
    "chaos": "chaos",
    "cluster": "cluster",
    "notebooks": "notebooks",
}
"""The mark of all tests of a folder."""


class _BeforeTorchvision(MetaPathFinder):
    """Declares what torchvision needs when it is first imported, and not before: that imports PyTorch."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        """Find nothing; only look on."""
        if fullname == "torchvision":
            from tests.torchvision_operators import declare_missing_operators

            sys.meta_path.remove(self)
            declare_missing_operators()


sys.meta_path.insert(0, _BeforeTorchvision())


SHARED_BY = {"prefect_server", "runner", "site", "store"}
"""Fixtures that take long to make: the tests of a folder that use one run in one process of pytest-xdist."""


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups, and pytest what -m chooses, in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of whole folders, and those that share the workers."""
    here = Path(__file__).parent
    for item in items:
        if not item.path.is_relative_to(here):
            continue
        folder = item.path.relative_to(here).parts[0]
        if folder in MARKS:
            item.add_marker(MARKS[folder])
        used = set(getattr(item, "fixturenames", ()))
        for mark in SHARED if "workers" in used else ():
            item.add_marker(mark)
        for name in SHARED_BY & used if "workers" not in used else ():
            item.add_marker(pytest.mark.xdist_group(f"{folder}/{name}"))
        if "prefect_server" in used:
            item.add_marker("cluster")


@pytest.fixture(scope="session")
def _two_workers() -> "Iterator[ClusterExecutor]":
    import dask
    from distributed.client import _del_global_client

    from rsmtl.dispatch import local_cluster

    with local_cluster(2) as executor, dask.config.set(scheduler=None):
        _del_global_client(executor.client)  # with the setting: or what other tests compute would run there
        yield executor


@pytest.fixture
def workers(_two_workers: "ClusterExecutor") -> "Iterator[ClusterExecutor]":
    """Two worker processes, and their client as Dask's own; shared by all tests that kill none and configure none."""
    _two_workers.client.wait_for_workers(2, timeout=60)  # some test may have ended the server that forks them
    with _two_workers.client.as_current():
        yield _two_workers


@pytest.fixture(params=["serial", "threads", pytest.param("workers", marks=SHARED)])
def executor(request: pytest.FixtureRequest) -> "Iterator[Executor]":
    """Each of those that run jobs, one after another."""
    from rsmtl.dispatch import threads
    from rsmtl.engine.executor import SerialExecutor

    if request.param == "workers":
        yield request.getfixturevalue("workers")
    elif request.param == "threads":
        with threads(3) as three:
            yield three
    else:
        yield SerialExecutor()


@pytest.fixture(autouse=True)
def _no_scheduler_without_a_client() -> None:
    """Clients that live at the same time, and end in another order, leave Dask with a scheduler of nobody's."""
    dask, distributed = sys.modules.get("dask"), sys.modules.get("distributed.client")
    if dask and distributed and distributed._get_global_client() is None:
        dask.config.set(scheduler=None)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real imagery; skips where there is none."""
    folder = Path(
        os.environ.get("RSMTL_DATA", Path(__file__).parents[1] / ".." / "shared" / "data")
    ).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real imagery at {folder}: set RSMTL_DATA to the folder that holds it")
    return folder


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what became of each awkward input; here, as the process that reports may have collected no test."""
    reports = (report for found in terminalreporter.stats.values() for report in found)
    shown = noted.lines([report for report in reports if isinstance(report, pytest.TestReport)])
    if shown:
        terminalreporter.section(noted.TITLE)
        terminalreporter.write("\n".join(shown) + "\n")


@pytest.fixture(autouse=True)
def _signals_as_they_were() -> Iterator[None]:
    """A test that leaves a handler or a blocked signal behind would make another one fail."""
    before = signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    assert (signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, ())) == before
