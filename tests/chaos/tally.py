"""What the workers were seen to do."""

from collections import Counter
from pathlib import Path

Chunk = tuple[str, int, int]
"""Scene, row and column."""


class Tally:
    """Counts what the witnesses write."""

    def __init__(self, path: Path) -> None:
        self._path, self._n_read = path, 0
        self.n_lines = 0
        self.workers: dict[str, int] = {}
        """Process that computes on a host, the latest."""
        self.forget()

    def forget(self) -> None:
        """Begin to count anew."""
        self.runs: Counter[Chunk] = Counter()
        """How often a chunk's windows were begun to be run."""
        self.kept: set[Chunk] = set()
        """Chunks whose result a job has left."""
        self.repeated: Counter[Chunk] = Counter()
        """How often a chunk's windows were run after its result had been left."""

    @property
    def n_wasted(self) -> int:
        """Runs of a chunk's windows beyond one."""
        return self.runs.total() - len(self.runs)

    def read(self) -> None:
        """Take in what was written since."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._n_read)
            lines = file.readlines()
        for line in lines:
            if line.endswith(b"\n"):
                self._n_read += len(line)
                self.n_lines += 1
                self._take(*line.decode().split())

    def _take(self, event: str, *words: str) -> None:
        if event == "worker":
            host, pid = words
            self.workers[host] = int(pid)
            return
        scene, row, col = words
        chunk = (scene, int(row), int(col))
        if event == "kept":
            self.kept.add(chunk)
            return
        self.runs[chunk] += 1
        if chunk in self.kept:
            self.repeated[chunk] += 1
