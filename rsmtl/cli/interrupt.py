"""Ctrl-C: the first ends a command in order, but in bounded time; the second at once."""

import os
import signal
import threading
from types import FrameType

from rsmtl.cli.report import INTERRUPTED

GRACE_S = 15.0
"""What ending in order may take. Closing a cluster takes about two seconds; a machine that swaps may need more."""


def end_in_bounded_time() -> None:
    """Install this for the process; what stands on the disk can be resumed however the process ends."""
    signal.signal(signal.SIGINT, _first)


def _first(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(INTERRUPTED))
    guard = threading.Timer(GRACE_S, os._exit, (INTERRUPTED,))
    guard.daemon = True
    guard.start()
    raise KeyboardInterrupt
