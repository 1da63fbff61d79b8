"""An elastic agent: the process that starts the ranks of one machine, watches them, and ends them together.

It is torchrun itself, so that what a cluster runs is what `torchrun -m rsmtl train` runs. What is here starts one as a
process of its own, waits for it without keeping anybody else from working, and finds out why it failed.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rsmtl.errors import InputError, RsmtlError, RunError
from rsmtl.lifeline import end_with_parent
from rsmtl.training.group import RankGone

ERROR_NAME = "error.json"
_POLL_S = 0.2
_END_S = 45.0
"""What an agent may take to end; it gives its ranks thirty seconds to write their state."""
_UNWANTED = ("MALLOC_TRIM_THRESHOLD_",)
"""What Dask's nannies set, and would cost ranks a page fault per 4 KiB that they take again."""


@dataclass(frozen=True)
class Rendezvous:
    """Where the agents of a training meet."""

    run_id: str
    endpoint: str
    """`host:port` of the store."""
    n_nodes: int
    timeout_s: float


def agent_command(
    rendezvous: Rendezvous, n_ranks: int, address: str, logs: Path, arguments: Sequence[str]
) -> list[str]:
    """Return the command of an agent with `n_ranks` ranks, each of which is `rsmtl train` with `arguments`.

    Standard output and error of each rank go to files below `logs`.
    """
    conf = {
        "is_host": 0,
        "join_timeout": int(rendezvous.timeout_s),
        "read_timeout": int(rendezvous.timeout_s),
    }
    return [
        *(sys.executable, "-m", "torch.distributed.run"),
        f"--nnodes={rendezvous.n_nodes}",
        f"--nproc-per-node={n_ranks}",
        f"--local-addr={address}",
        "--rdzv-backend=c10d",
        f"--rdzv-id={rendezvous.run_id}",
        f"--rdzv-endpoint={rendezvous.endpoint}",
        "--rdzv-conf=" + ",".join(f"{key}={value}" for key, value in conf.items()),
        "--max-restarts=0",
        "--monitor-interval=0.5",
        *("--log-dir", str(logs), "--redirects", "3"),
        *("-m", "rsmtl", "train", *arguments),
    ]


def run_agent(
    command: Sequence[str],
    environment: Mapping[str, str],
    logs: Path,
    asked_to_stop: Callable[[], signal.Signals | None],
) -> str | None:
    """Run an agent to its end; return None if its training ended well, or else the sentence that says why not.

    The agent dies with the thread's process, and its ranks with it, however that ends. What
    `asked_to_stop` gives is sent to it: with SIGTERM its ranks write their state and end, or are ended after a while.
    """
    logs.mkdir(parents=True, exist_ok=True)
    with (logs / "agent.log").open("ab") as log:
        agent = subprocess.Popen(
            command,
            env={
                name: value for name, value in {**os.environ, **environment}.items() if name not in _UNWANTED
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=end_with_parent,
        )
        try:
            _watch_over(agent, asked_to_stop)
        finally:
            if agent.poll() is None:
                agent.kill()
                agent.wait()
    return (
        None if agent.returncode == 0 else f"an agent failed (exit status {agent.returncode}): look at {logs}"
    )


def _watch_over(agent: "subprocess.Popen[bytes]", asked_to_stop: Callable[[], signal.Signals | None]) -> None:
    """Return when the agent has ended, or has not ended long enough after it was told to."""
    told_at: float | None = None
    while agent.poll() is None:
        if told_at is None and (number := asked_to_stop()) is not None:
            agent.send_signal(number)
            told_at = time.monotonic()
        if told_at is not None and time.monotonic() - told_at > _END_S:
            return
        time.sleep(_POLL_S)


def tell_agent(error: BaseException) -> None:
    """Write down, where the agent looks for it, why this rank ends; does nothing without an agent."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if not path:
        return
    sentence = " ".join(str(error).split()) or type(error).__name__
    said = {
        "message": {
            "message": sentence,
            "extraInfo": {"py_callstack": "", "timestamp": str(int(time.time()))},
        },
        "at": time.time(),
        "rank": os.environ.get("RANK"),
        "status": getattr(error, "exit_status", 1),
        "follows": isinstance(error, RankGone),
    }
    with contextlib.suppress(OSError):
        Path(path).write_text(json.dumps(said))


def why_ranks_failed(logs: Path, run_id: str) -> RsmtlError | None:
    """Return what the rank said that was the first to fail by itself; None if no rank said a word."""
    found = []
    for path in logs.glob(f"*/{run_id}_*/attempt_*/*/{ERROR_NAME}"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            said = json.loads(path.read_text())
            sentence = f"rank {said['rank']}: {said['message']['message']}"
            found.append((bool(said["follows"]), float(said["at"]), sentence, int(said["status"])))
    if not found:
        return None
    _, _, sentence, status = min(found)
    return InputError(sentence) if status == InputError.exit_status else RunError(sentence)
