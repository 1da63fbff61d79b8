"""A Prefect server and a worker as a team would start them: real processes with records of their own."""

import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.settings import temporary_settings

from tests.chaos.processes import Processes

PREFECT = str(Path(sys.executable).with_name("prefect"))
Found = TypeVar("Found")


class PrefectSite:
    """Starts and kills the server, starts the worker, and gives their commands."""

    def __init__(self, folder: Path, **surroundings: str) -> None:
        self.folder = folder
        """Where everything it leaves is."""
        self._port = _free_port()
        self._url = f"http://127.0.0.1:{self._port}/api"
        own = {
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": self._url,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            # As the README says, since leases in memory are lost with the server:
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
            # These only make a test quicker:
            "PREFECT_WORKER_QUERY_SECONDS": "0.5",
            "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "1",
        }
        self.processes = Processes(folder, {**own, **surroundings})
        self._client: SyncPrefectClient | None = None

    def start_server(self) -> None:
        """Start the server, and wait until it answers."""
        words = ["server", "start", "--host", "127.0.0.1", "--port", str(self._port)]
        self._server = self.processes.start("server", [PREFECT, *words])
        until(self._answers, 120, "the server answers")

    def kill_server(self) -> None:
        """Let the server die as a machine does."""
        self._server.kill()
        self._server.wait()

    def start_worker(self, pool: str) -> None:
        """Start a worker."""
        self.processes.start("worker", [PREFECT, "worker", "start", "--type", "process", "--pool", pool])

    def run(self, *words: str) -> str:
        """Give a command, and return what it says."""
        log = self.processes.log("commands")
        before = log.stat().st_size if log.exists() else 0
        status = self.processes.start("commands", [PREFECT, *words]).wait(timeout=240)
        said = log.read_bytes()[before:].decode()
        assert status == 0, said
        return said

    @contextmanager
    def client(self) -> Iterator[SyncPrefectClient]:
        """Ask the server; by one client for all questions, as making one takes longer than many answers."""
        if self._client is None:
            with temporary_settings(updates={"api.url": self._url}):
                self._client = get_client(sync_client=True).__enter__()
        yield self._client

    def runs(self, deployment: UUID, *states: StateType) -> list[FlowRun]:
        """Return the runs of a deployment that are in one of some states, in the order of their schedule."""
        of_type = FlowRunFilterStateType(any_=list(states))
        with self.client() as client:
            found = client.read_flow_runs(
                deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment])),
                flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=of_type)),
            )
        return sorted(found, key=lambda run: run.expected_start_time)

    def end(self) -> None:
        """End everything that was started, and all that it started."""
        if self._client is not None:
            self._client.__exit__(None, None, None)
        while alive := self.processes.alive():
            for process in alive:
                process.kill()

    def _answers(self) -> bool:
        assert self._server.poll() is None, self.processes.log("server").read_text()
        try:
            return httpx.get(f"{self._url}/health").is_success
        except httpx.TransportError:
            return False


def until(happened: Callable[[], Found], within_s: float, what: str) -> Found:
    """Ask again and again until something is so, and return the answer: nothing tells of it."""
    deadline = time.monotonic() + within_s
    while not (found := happened()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.2)
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
