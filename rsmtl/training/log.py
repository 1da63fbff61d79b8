"""What a training writes down: a line of JSON for each step and epoch, and the same for TensorBoard."""

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog

from rsmtl.store.place import disk_errors
from rsmtl.training.folder import BOARD_NAME, LOG_NAME

Record = dict[str, Any]


class Log:
    """The log of one training, open for writing; every method raises `RunError` if the disk does not take it.

    TensorBoard's events are written in this thread: tensorboardX's own thread would wait for ever on a full disk.

    Parameters
    ----------
    length
        Bytes of an earlier log that count; what lies behind belongs to steps that will be taken again.
    step
        The next step, counted over all epochs.
    """

    def __init__(self, out: Path, length: int, step: int) -> None:
        self._out = out
        with disk_errors(out / LOG_NAME):
            self._file = (out / LOG_NAME).open("ab")
            self._file.truncate(min(length, (out / LOG_NAME).stat().st_size))
            self._file.seek(0, os.SEEK_END)
            (out / BOARD_NAME).mkdir(exist_ok=True)
            self._board = EventsWriter(
                str(out / BOARD_NAME / "events"), f".{os.getpid()}.{time.monotonic_ns()}"
            )
            self._board.write_event(
                Event(wall_time=time.time(), step=step, session_log=SessionLog(status=SessionLog.START))
            )

    def write(self, record: Record) -> None:
        """Write a line, and have it on its way to the disk."""
        with disk_errors(self._out / LOG_NAME):
            self._file.write(json.dumps(record).encode() + b"\n")
            self._file.flush()

    def curves(self, group: str, values: dict[str, Any], step: int) -> None:
        """Add a point to a curve for each number; scores by class or head have curves of their own."""
        for name, value in values.items():
            if isinstance(value, dict):
                self.curves(f"{group}/{name}", value, step)
            elif isinstance(value, int | float):
                self._add(summary.scalar(f"{group}/{name}", value), step)

    def picture(self, name: str, pixels: NDArray[np.uint8], step: int) -> None:
        """Add a picture `(H, W, 3)`."""
        self._add(summary.image(name, pixels, dataformats="HWC"), step)

    def _add(self, what: Any, step: int) -> None:
        with disk_errors(self._out / BOARD_NAME):
            self._board.write_event(Event(wall_time=time.time(), step=step, summary=what))

    def flush(self) -> None:
        """Have the curves on their way to the disk too."""
        with disk_errors(self._out / BOARD_NAME):
            self._board.flush()

    @property
    def length(self) -> int:
        """Bytes written."""
        return self._file.tell()

    def close(self) -> None:
        """Write what is left."""
        with disk_errors(self._out / LOG_NAME):
            self._file.close()
            self._board.close()
