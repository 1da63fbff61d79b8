"""Processes that carry a mark in their environment, which their children inherit, so that none is lost sight of."""

import os
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from uuid import uuid4

import psutil

from rsmtl.lifeline import end_with_parent

ROOT = Path(__file__).parents[2]
_MARK = "RSMTL_CHAOS_MARK"
_OURS = ("PREFECT_", "DASK_", "DO_NOT_TRACK")


class Processes:
    """Starts processes, and finds them and all that they started."""

    def __init__(self, folder: Path, surroundings: Mapping[str, str]) -> None:
        self._mark = uuid4().hex
        self._logs = folder / "logs"
        home = folder / "home"
        for made in (self._logs, home):
            made.mkdir()
        plain = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        self._env = plain | {"HOME": str(home), "OMP_NUM_THREADS": "1", **surroundings, _MARK: self._mark}

    def start(
        self, name: str, command: Sequence[str], env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a process; what it says goes to the end of its log."""
        with self.log(name).open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=ROOT,
                env={**self._env, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent,
            )

    def log(self, name: str) -> Path:
        """Where a process's output goes."""
        return self._logs / f"{name}.log"

    def alive(self) -> list[psutil.Process]:
        """Return all that live, children's children too."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            ours = process.environ().get(_MARK) == self._mark
            return ours and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Return a process and all that descend from it."""
    try:
        head = psutil.Process(process.pid)
        return [head, *head.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def outlived(processes: Iterable[psutil.Process], grace_s: float) -> list[psutil.Process]:
    """Return which of the processes are still there after some seconds."""
    waiting, deadline = list(processes), time.monotonic() + grace_s
    while waiting and time.monotonic() < deadline:
        waiting = [process for process in waiting if _lives(process)]
        time.sleep(0.05)
    return waiting


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
