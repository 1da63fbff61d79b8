"""Following the log of a training that runs elsewhere."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

from rsmtl.training.folder import LOG_NAME
from rsmtl.training.log import Record


class Tail:
    """Reports the records that come into a log, from its present end on.

    Steps that are taken again after a restart are reported again.
    """

    def __init__(self, out: Path, report: Callable[[Record], None]) -> None:
        self._path, self._report = out / LOG_NAME, report
        self._read = self._length()
        self.n_reported = 0
        """Records so far."""

    def read(self) -> None:
        """Report what is new."""
        length = self._length()
        if length < self._read:  # cut off at the last checkpoint
            self._read = length
        if length == self._read:
            return
        with self._path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                with contextlib.suppress(
                    ValueError
                ):  # cut off and grown since, we are in the middle of a line
                    record = json.loads(line)
                    self.n_reported += 1
                    self._report(record)

    def _length(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0
