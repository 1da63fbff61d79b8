"""Ctrl-C ends the process, whatever it is doing."""

import signal
import subprocess
import sys

import pytest

CODE = """
import signal, threading
from rsmtl.cli import interrupt
interrupt.GRACE_S = {grace}
interrupt.end_in_bounded_time()
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("first", flush=True)
{rest}
"""


@pytest.mark.parametrize(
    ("grace", "rest"),
    [(600, "signal.raise_signal(signal.SIGINT)"), (0.1, "threading.Event().wait(100)")],
    ids=["the second at once", "the first in bounded time"],
)
def test_an_end_that_hangs_is_cut_short(grace: float, rest: str) -> None:
    code = CODE.format(grace=grace, rest=rest)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "first\n", "")


def test_calls_inside_a_process_leave_its_signals_alone() -> None:
    from rsmtl.cli import main

    before = signal.getsignal(signal.SIGINT)
    assert main(["--version"]) == 0
    assert signal.getsignal(signal.SIGINT) is before
