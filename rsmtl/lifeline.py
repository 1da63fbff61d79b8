"""Ending with the process that started this one, however that ends."""

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
_prctl = getattr(ctypes.CDLL(None), "prctl", None)
"""Found beforehand: a child must not look for it between its fork and its program. Only Linux has it."""


def end_with_parent() -> None:
    """Have the kernel end this process when its parent is gone; does nothing where the kernel cannot."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def end_with_agent() -> None:
    """As a rank, end with the agent, also if it is gone already; call it before anything that takes time."""
    end_with_parent()
    if os.getppid() == 1:
        os._exit(1)
