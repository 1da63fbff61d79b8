"""A Prefect server, a Dask scheduler, a worker with its nanny on each host, and what an init system does for them."""

import json
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil

from tests.chaos.network import Network
from tests.chaos.processes import Processes, family, outlived

SERVER, SCHEDULER = "prefect", "scheduler"
LOST_S = 6
"""A worker that is silent for so long is given up by the scheduler."""
SURROUNDINGS = {
    "DASK_DISTRIBUTED__WORKER__PRELOAD": '["tests.chaos.witness"]',
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": f"{LOST_S}s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "15s",
}


class Cluster:
    """Real processes, each started again when it ends."""

    def __init__(self, processes: Processes, network: Network, n_workers: int, folder: Path) -> None:
        self._processes, self.n_workers = processes, n_workers
        server, scheduler, dashboard = (_free_port() for _ in range(3))
        self.address = f"tcp://{network.scheduler}:{scheduler}"
        self.server_url = f"http://127.0.0.1:{server}/api"
        self._counts_url = f"http://127.0.0.1:{dashboard}/json/counts.json"
        python = [sys.executable, "-m"]
        prefect = [*python, "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(server)]
        dask = [*python, "dask", "scheduler", "--host", network.scheduler, "--port", str(scheduler)]
        self._commands = {
            SERVER: [*prefect, "--no-ui", "--analytics-off"],
            SCHEDULER: [*dask, "--dashboard-address", f"127.0.0.1:{dashboard}"],
        }
        self._env = {SERVER: {"PREFECT_HOME": str(folder / "prefect")}}
        for host in range(n_workers):
            words = [*python, "dask", "worker", self.address, "--host", network.address(host)]
            limits = ["--nthreads", "1", "--memory-limit", "2GiB", "--no-dashboard"]
            scratch = ["--local-directory", str(folder / f"scratch{host}")]
            self._commands[worker(host)] = network.inside(host, [*words, *limits, *scratch])
            self._env[worker(host)] = {"RSMTL_CHAOS_HOST": worker(host)}
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.tend()

    def tend(self) -> None:
        """Start what does not run."""
        for name, command in self._commands.items():
            process = self.running.get(name)
            if process is None or process.poll() is not None:
                self.running[name] = self._processes.start(name, command, self._env.get(name))

    def is_ready(self, n_workers: int) -> bool:
        """Whether the servers answer, and the scheduler has so many workers."""
        try:
            with urllib.request.urlopen(f"{self.server_url}/health", timeout=5):
                pass
            with urllib.request.urlopen(self._counts_url, timeout=5) as answer:
                return int(json.load(answer)["workers"]) >= n_workers
        except (OSError, ValueError):
            return False

    def members(self) -> list[psutil.Process]:
        """Return all processes of what runs."""
        return [member for process in self.running.values() for member in family(process)]

    def stop(self) -> None:
        """End everything in order, as an init system does: ask first."""
        members = self.members()
        for process in self.running.values():
            process.terminate()
        outlived(members, grace_s=20)
        for process in self.running.values():
            process.kill()
            process.wait()


def worker(host: int) -> str:
    """The name of a host's worker."""
    return f"worker{host}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
