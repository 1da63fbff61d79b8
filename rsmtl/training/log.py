"""What a training writes down: a line of JSON for each step and epoch, and the same for TensorBoard."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorboardX import SummaryWriter

from rsmtl.store.folder import disk_errors
from rsmtl.training.folder import BOARD_NAME, LOG_NAME

Record = dict[str, Any]


class Log:
    """The log of one training, open for writing.

    Parameters
    ----------
    length
        Bytes of an earlier log that count; what lies behind belongs to steps that will be taken again.
    step
        The next step, counted over all epochs.

    Raises
    ------
    RunError
        If it cannot be written.
    """

    def __init__(self, out: Path, length: int, step: int) -> None:
        with disk_errors(out):
            self._file = (out / LOG_NAME).open("ab")
            self._file.truncate(length)
            self._file.seek(0, os.SEEK_END)
            self._board = SummaryWriter(str(out / BOARD_NAME), purge_step=step, flush_secs=10)

    def write(self, record: Record) -> None:
        """Write a line, and have it on its way to the disk."""
        self._file.write(json.dumps(record).encode() + b"\n")
        self._file.flush()

    def curves(self, group: str, values: dict[str, Any], step: int) -> None:
        """Add a point to a curve for each number; scores by class or head have curves of their own."""
        for name, value in values.items():
            if isinstance(value, dict):
                self.curves(f"{group}/{name}", value, step)
            elif isinstance(value, int | float):
                self._board.add_scalar(f"{group}/{name}", value, step)

    def picture(self, name: str, pixels: NDArray[np.uint8], step: int) -> None:
        """Add a picture `(H, W, 3)`."""
        self._board.add_image(name, pixels, step, dataformats="HWC")

    @property
    def length(self) -> int:
        """Bytes written."""
        return self._file.tell()

    def close(self) -> None:
        """Write what is left."""
        self._file.close()
        self._board.close()
