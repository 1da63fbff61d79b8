"""Fixtures every test may use."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

# One torch thread per process, here and in every worker that a test starts: the suite already runs a process per
# core, and threads that wait for each other on busy cores cost minutes (measured: 190 s instead of 0.7). Set before
# anything imports torch.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
from hypothesis import settings

from tests.torchvision_operators import declare_missing_operators

declare_missing_operators()

# These machines are shared: how long an example takes says nothing.
settings.register_profile("rsmtl", deadline=None, max_examples=60)
settings.load_profile("rsmtl")


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
    from tests.awkward import table

    reports = (report for found in terminalreporter.stats.values() for report in found)
    shown = table.lines([report for report in reports if isinstance(report, pytest.TestReport)])
    if shown:
        terminalreporter.section(table.TITLE)
        terminalreporter.write("\n".join(shown) + "\n")


@pytest.fixture(autouse=True)
def _signals_as_they_were() -> Iterator[None]:
    """A test that leaves a handler or a blocked signal behind would make another one fail."""
    before = signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    assert (signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, ())) == before
