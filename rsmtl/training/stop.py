"""Being asked to stop: a signal does not break a step, it ends the training after it."""

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, NoReturn

from rsmtl.errors import RunError

SIGNALS = (signal.SIGINT, signal.SIGTERM)


GRACE_S = 30.0
"""How long a rank waits for the signal that another has already had."""


@dataclass
class Stop:
    """Whether this process was asked to stop, and how."""

    number: int | None = None
    """Of the signal."""
    _came: threading.Event = field(default_factory=threading.Event)

    def note(self, number: int) -> None:
        """Take note of a signal."""
        self.number = number
        self._came.set()

    def end(self, sentence: str) -> NoReturn:
        """End as the signal asks: with a `KeyboardInterrupt` if it was Ctrl-C, or else a `RunError`.

        Where another rank had the signal, first wait for this one's: an agent would take a rank that ends before for
        one that has failed.
        """
        self._came.wait(GRACE_S)
        raise KeyboardInterrupt(sentence) if self.number == signal.SIGINT else RunError(sentence)


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Take note of Ctrl-C and SIGTERM while the block lasts; a second one does what it did before.

    Outside the main thread, where Python delivers no signals, nothing is noted.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def note(number: int, frame: FrameType | None) -> None:
        stop.note(number)
        _restore(before)

    for number in SIGNALS:
        signal.signal(number, note)
    try:
        yield stop
    finally:
        _restore(before)


def _restore(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
