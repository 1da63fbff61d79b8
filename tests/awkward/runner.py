"""Calls the product under limits of time and memory, and says how each call ended."""

import json
import select
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

LIMIT_S = 60
"""A call that has not answered by then hangs."""


@dataclass(frozen=True)
class Ended:
    """How a call ended."""

    status: int | None
    """None if it raised, hung or took its process with it."""
    out: str = ""
    err: str = ""
    seconds: float = 0.0
    grown_bytes: int = 0
    """By how much the process's memory grew at most, over what it had before."""
    hung: bool = False

    @property
    def json(self) -> dict[str, Any]:
        """The last line of standard output."""
        return json.loads(self.out.splitlines()[-1])


class Runner:
    """Keeps one process that answers calls, and replaces it when it is lost."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def call(self, *words: object) -> Ended:
        """Call the command line, or what `served.DIRECT` names."""
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        print(json.dumps([str(word) for word in words]), file=process.stdin, flush=True)
        if not select.select([process.stdout], [], [], LIMIT_S)[0]:
            self.close()
            return Ended(None, hung=True)
        line = process.stdout.readline()
        if not line:
            status = process.wait()
            self.close()
            return Ended(None, err=f"the process ended with {status}")
        return Ended(**json.loads(line))

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            command = [sys.executable, "-m", "tests.awkward.served"]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            self._process = subprocess.Popen(command, **pipes)
        return self._process
