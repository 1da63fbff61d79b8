"""Training on a Dask cluster: an elastic agent on each worker, and somebody who watches over them.

An agent is a process of its own (`rsmtl.training.agent`), so its worker goes on answering. The agents meet at a store
that lives in one of the workers. When a rank or a worker dies, or a worker joins, the agents end, those of the workers
that there are meet at a new store, and the training goes on from the state in the output folder. (PyTorch's agents
could start ranks anew, admit and expel nodes by themselves. But each counts its restarts alone, and where the counts
differ, or one node dies while another joins, ranks look for each other in the wrong place until they time out.)
"""

import os
import signal
import socket
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from distributed import Client, Future, get_worker

from rsmtl.dispatch.executors import TRAINING, ClusterExecutor, cluster_errors, offered
from rsmtl.errors import InputError, RunError
from rsmtl.training.agent import Rendezvous, agent_command, run_agent, why_ranks_failed
from rsmtl.training.config import TrainConfig, read_config
from rsmtl.training.folder import MODEL_NAME, RANKS_NAME, claim
from rsmtl.training.group import TIMEOUT_S, Device
from rsmtl.training.log import Record
from rsmtl.training.placement import Seat, place
from rsmtl.training.stop import Stop, stoppable
from rsmtl.training.tail import Tail
from rsmtl.training.train import CHECKPOINT_S

_POLL_S = 0.3


@dataclass(frozen=True)
class Launch:
    """How a training is spread over a cluster."""

    min_workers: int = 1
    """The training goes on as long as there are so many."""
    max_workers: int | None = None
    """Workers that join later are taken in up to so many; as many as there are at the beginning unless given."""
    max_restarts: int = 3
    """How often ranks may fail before the training does, and workers may be lost without a step in between."""
    timeout_s: float = TIMEOUT_S
    checkpoint_s: float = CHECKPOINT_S
    device: Device = "auto"


@cluster_errors()
def launch(
    config: TrainConfig | str | Path,
    out: str | Path,
    data_root: str | Path,
    cluster: ClusterExecutor,
    options: Launch | None = None,
    *,
    resume: bool = False,
    report: Callable[[Record], None] = lambda record: None,
) -> Path:
    """Train on the workers of a cluster what `rsmtl.train` trains in one process, with the same results.

    Workers that offer the resource `training` are taken, or all if none does. Each has a rank for every GPU that is its
    own, or one on the CPU. Standard output and error of the ranks are in `out/ranks`.

    Parameters
    ----------
    out, data_root
        Folders that all workers share.

    Raises
    ------
    InputError
        If the configuration or `out` are wrong, or there are too few workers.
    RunError
        If ranks failed more often than `max_restarts`, with the first one's own sentence; if fewer than `min_workers`
        were left for longer than the timeout; if SIGTERM came, or the scheduler is gone.
    KeyboardInterrupt
        If Ctrl-C came; as with SIGTERM, the state is on the disk.
    """
    options = options or Launch()
    config = config if isinstance(config, TrainConfig) else read_config(config)
    watch = _Watch(cluster.client, options, Path(out).absolute() / RANKS_NAME)
    out, data_root = Path(out).absolute(), Path(data_root).absolute()
    watch.arguments = [
        *(str(claim(out, config, resume)), "--out", str(out), "--data", str(data_root), "--resume"),
        *("--device", options.device, "--timeout", f"{options.timeout_s:g}"),
        *("--checkpoint", f"{options.checkpoint_s:g}"),
    ]
    watch.environment = {"OMP_NUM_THREADS": str(config.torch_threads)}
    tail = Tail(out, report)
    with stoppable() as stop:
        while not watch.meet(stop, tail):
            pass
    tail.read()
    return out / MODEL_NAME


@dataclass
class _Watch:
    """Agents on workers, meeting after meeting."""

    client: Client
    options: Launch
    logs: Path
    arguments: Sequence[str] = ()
    environment: dict[str, str] = field(default_factory=dict)
    agents: dict[str, Future] = field(default_factory=dict)
    """By worker."""
    n_failed: int = 0
    """Meetings that ended because a rank failed."""
    n_lost: int = 0
    """Meetings in a row that ended because a worker was lost, before a step was done."""

    def __post_init__(self) -> None:
        self.resources = offered(self.client, TRAINING)
        there = len(self.workers())
        if there < self.options.min_workers:
            raise InputError(
                f"the training wants at least {self.options.min_workers} worker(s), the cluster has {there} for it: "
                "start more, or ask for fewer"
            )
        self.most = self.options.max_workers or there

    def meet(self, stop: Stop, tail: Tail) -> bool:
        """Let agents meet at a new store, and watch them; return True if the training has ended, False to meet again.

        Whatever happens, no agent is left.
        """
        n_before = tail.n_reported
        try:
            members, rendezvous = self._open_rendezvous(stop)
        except OSError:  # a worker died while it was asked
            self._count_lost(progress=False)
            return False
        try:
            try:
                self._start_agents(rendezvous, members)
            except OSError:
                self._count_lost(progress=False)
                return False
            while True:
                tail.read()
                there = self.workers()
                outcomes = [_outcome(agent) for agent in self.agents.values() if agent.done()]
                if None in outcomes:  # no rank ends well before all have come to the end
                    return True
                if not set(members) <= set(there):
                    self._dismiss(rendezvous, signal.SIGKILL)  # the step that is under way cannot be finished
                    self._count_lost(progress=tail.n_reported > n_before)
                    return False
                if outcomes:
                    self._dismiss(rendezvous, signal.SIGKILL)
                    self._count_failed(rendezvous, outcomes)
                    return False
                if len(members) < min(len(there), self.most):
                    return False
                if stop.number is not None:
                    self._dismiss(rendezvous)
                    stop.end("the training was stopped; go on with --resume")
                time.sleep(_POLL_S)
        finally:
            self._dismiss(rendezvous)

    def workers(self) -> tuple[str, ...]:
        """Return the addresses of the workers that training may use."""
        found = self.client.sync(self.client.scheduler.identity, n_workers=-1)["workers"]
        return tuple(
            sorted(
                address
                for address, worker in found.items()
                if not self.resources or TRAINING in worker["resources"]
            )
        )

    def _open_rendezvous(self, stop: Stop) -> tuple[tuple[str, ...], Rendezvous]:
        """Choose the workers, once there are enough of them, and open a store on the first."""
        deadline = time.monotonic() + self.options.timeout_s
        while len(there := self.workers()) < self.options.min_workers:
            if stop.number is not None:
                stop.end("the training was stopped; go on with --resume")
            if time.monotonic() > deadline:
                raise RunError(
                    f"the training wants at least {self.options.min_workers} worker(s), and for "
                    f"{self.options.timeout_s:g} s there were {len(there)}: start more, and go on with --resume"
                )
            time.sleep(_POLL_S)
        members = there[: self.most]
        run_id, address = uuid.uuid4().hex[:8], urlparse(there[0]).hostname
        port = self.client.run(_open_store, run_id, address, workers=[there[0]])[there[0]]
        rendezvous = Rendezvous(
            run_id=run_id,
            endpoint=f"{address}:{port}",
            n_nodes=len(members),
            timeout_s=self.options.timeout_s,
        )
        return members, rendezvous

    def _forget_all_but(self, there: tuple[str, ...]) -> None:
        """Drop the agents of workers that are gone: they died with them."""
        for worker in [worker for worker in self.agents if worker not in there]:
            self.agents.pop(worker).cancel()

    def _count_lost(self, progress: bool) -> None:
        """Raise a `RunError` if workers are lost again and again without a step in between."""
        self.n_lost = 0 if progress else self.n_lost + 1
        if self.n_lost > self.options.max_restarts:
            raise RunError(
                f"workers were lost {self.n_lost} times in a row before a step was done: look at {self.logs}, then "
                "go on with --resume"
            )

    def _count_failed(self, rendezvous: Rendezvous, outcomes: Sequence[str | None]) -> None:
        """Raise the error of the rank that failed first if that was once too often, or will not be better next time."""
        self.n_failed += 1
        error = why_ranks_failed(self.logs, rendezvous.run_id) or RunError(str(outcomes[0]))
        if isinstance(error, InputError) or self.n_failed > self.options.max_restarts:
            raise error

    def _start_agents(self, rendezvous: Rendezvous, members: tuple[str, ...]) -> None:
        wants_gpus = self.options.device != "cpu"
        seats = place(self.client.run(_look_around, wants_gpus, workers=list(members)))
        for worker in members:
            gpus = {"CUDA_VISIBLE_DEVICES": ",".join(seats[worker])} if wants_gpus and seats[worker] else {}
            command = agent_command(
                rendezvous,
                max(1, len(seats[worker])),
                urlparse(worker).hostname or "",
                self.logs / _file_name(worker),
                self.arguments,
            )
            self.agents[worker] = self.client.submit(
                _agent,
                rendezvous.run_id,
                command,
                {**self.environment, **gpus},
                self.logs / _file_name(worker),
                workers=[worker],
                resources=self.resources,
                pure=False,
                retries=0,
            )

    def _dismiss(self, rendezvous: Rendezvous, number: signal.Signals = signal.SIGTERM) -> None:
        """Send all agents a signal, wait until they have ended, and close the store."""
        there = list(self.workers())
        self._forget_all_but(tuple(there))
        if there:
            self.client.run(_stop_agents, rendezvous.run_id, number, workers=there, on_error="ignore")
        begun = (
            self.client.run(_has_begun, rendezvous.run_id, workers=there, on_error="ignore") if there else {}
        )
        for worker in [worker for worker in self.agents if not begun.get(worker)]:
            self.agents.pop(worker).cancel()  # what keeps the worker busy may do so for long
        while not all(agent.done() for agent in self.agents.values()):
            time.sleep(_POLL_S)
            self._forget_all_but(self.workers())
        self.agents.clear()
        if there := list(self.workers()):
            self.client.run(_close_store, rendezvous.run_id, workers=there, on_error="ignore")


def _outcome(agent: Future) -> str | None:
    """Return the sentence with which an agent failed, or None."""
    try:
        sentence: str | None = agent.result()
    except (CancelledError, OSError) as error:
        return f"an agent could not be run: {' '.join(str(error).split())}"
    return sentence


def _file_name(worker: str) -> str:
    return worker.split("://")[-1].replace(":", "-").replace("/", "-")


# What follows runs in workers.

_STORES: dict[str, Any] = {}
_STOPPING: dict[str, signal.Signals] = {}
_BEGUN: set[str] = set()


def _open_store(run_id: str, host: str) -> int:
    import torch.distributed as dist

    family = socket.getaddrinfo(host, 0)[0][0]
    listener = socket.create_server((host, 0), family=family)  # by itself it listens on every interface
    port = int(listener.getsockname()[1])
    _STORES[run_id] = dist.TCPStore(  # type: ignore[attr-defined]
        host, port, is_master=True, wait_for_workers=False, master_listen_fd=listener.detach()
    )
    return port


def _close_store(run_id: str) -> None:
    _STORES.pop(run_id, None)


def _stop_agents(run_id: str, number: signal.Signals) -> None:
    _STOPPING[run_id] = number


def _has_begun(run_id: str) -> bool:
    return run_id in _BEGUN


def _look_around(wants_gpus: bool) -> Seat:
    gpus: tuple[str, ...] = ()
    if wants_gpus:
        import torch

        listed = os.environ.get("CUDA_VISIBLE_DEVICES")
        if torch.cuda.is_available():
            gpus = tuple(listed.split(",")) if listed else tuple(map(str, range(torch.cuda.device_count())))
    return Seat(socket.gethostname(), gpus)


def _agent(run_id: str, command: Sequence[str], environment: dict[str, str], logs: Path) -> str | None:
    if run_id in _STOPPING:
        return "it was stopped before it began"
    _BEGUN.add(run_id)
    worker = get_worker()
    key = worker.get_current_task()

    def asked_to_stop() -> signal.Signals | None:
        """Return what the launcher sends; if it is gone, Dask has released this task, and cannot end it."""
        task = worker.state.tasks.get(key)
        released = task is None or task.state == "cancelled"
        return _STOPPING.get(run_id, signal.SIGTERM if released else None)

    return run_agent(command, environment, logs, asked_to_stop)
