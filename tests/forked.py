"""Commands as processes of their own that begin at once: copies of the fork server, which has imported PyTorch.

Such a process has its own memory, environment and streams, can be killed, and takes nobody along. Only what Python does
between `exec` and the first line of the program is left out; `tests/cli/test_command_line.py` starts a real one.
"""

import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from torch.distributed import TCPStore

from rsmtl import fork_server
from rsmtl.lifeline import end_with_parent

LIMIT_S = 240


@dataclass(frozen=True)
class Running:
    """A process, and the files that its streams go to."""

    process: ForkServerProcess
    out: Path
    err: Path

    def wait(self) -> "subprocess.CompletedProcess[str]":
        """Wait for its end."""
        self.process.join(LIMIT_S)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            raise TimeoutError(f"{self.process.name} has not ended after {LIMIT_S} s: {self.err.read_text()}")
        return subprocess.CompletedProcess(
            self.process.name, self.process.exitcode, self.out.read_text(), self.err.read_text()
        )


def start(folder: Path, *words: object, env: Mapping[str, str] | None = None) -> Running:
    """Start `python -m` with these words; its streams are files of `folder`, its environment is ours and `env`."""
    fork_server.start()
    folder.mkdir(parents=True, exist_ok=True)
    number = len(list(folder.iterdir()))
    streams = [folder / f"{number}.{name}" for name in ("out", "err")]
    for stream in streams:
        stream.touch()
    given = [str(word) for word in words]
    process = get_context("forkserver").Process(
        target=_become, args=(given, streams, {**os.environ, **(env or {})}), name=" ".join(given)
    )
    process.start()
    return Running(process, *streams)


def call(
    folder: Path, *words: object, env: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run `python -m` with these words to its end."""
    return start(folder, *words, env=env).wait()


def ranks(folder: Path, n_ranks: int, *words: object) -> "list[subprocess.CompletedProcess[str]]":
    """Run so many ranks of a training as torchrun would: they find each other by their environment."""
    store = TCPStore("127.0.0.1", 0, n_ranks, is_master=True, wait_for_workers=False)
    common = {
        "TORCHELASTIC_RUN_ID": "forked",
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "WORLD_SIZE": str(n_ranks),
        "LOCAL_WORLD_SIZE": str(n_ranks),
    }
    running = [
        start(folder, *words, env={**common, "RANK": str(k), "LOCAL_RANK": str(k)}) for k in range(n_ranks)
    ]
    try:
        return [one.wait() for one in running]
    finally:
        for one in running:
            one.process.kill()


def _become(words: Sequence[str], streams: Sequence[Path], environment: Mapping[str, str]) -> None:
    """In the copy: be what `python -m` would be, and end with the server, as that does with the tests."""
    end_with_parent()
    for number, stream in enumerate(streams, start=1):
        with stream.open("w") as file:
            os.dup2(file.fileno(), number)
    os.environ.clear()
    os.environ.update(environment)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = list(words)
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)
