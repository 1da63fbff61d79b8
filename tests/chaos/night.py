"""A night: one run of the flow over the whole catalogue, as a process of its own."""

import sys
from itertools import count
from pathlib import Path

from tests.chaos.catalogue import ASSET, SETTINGS, Catalogue
from tests.chaos.cluster import Cluster
from tests.chaos.processes import Processes

_NUMBERS = count(1)


class Night:
    """A run of `flows.process_catalogue`, on a cluster that stands or on workers and a server of its own."""

    def __init__(
        self, processes: Processes, catalogue: Catalogue, out: Path, cluster: Cluster | None
    ) -> None:
        words = [sys.executable, "-m", "flows.process_catalogue", str(catalogue.path)]
        what = ["--model", str(catalogue.model), "--out", str(out), "--assets", ASSET, *SETTINGS]
        where = ["--scheduler", cluster.address] if cluster else ["--workers", "2"]
        env = {"PREFECT_API_URL": cluster.server_url} if cluster else {}
        self.name = f"flow{next(_NUMBERS):03d}{'' if cluster else '-lone'}"
        self.process = processes.start(self.name, [*words, *what, *where, "--retry-delay-s", "1"], env)

        self._log = processes.log(self.name)

    def said(self) -> str:
        """Return what it has printed."""
        return self._log.read_text()

    @property
    def status(self) -> int | None:
        """How it has ended: the exit status, or minus the signal; None while it runs."""
        return self.process.poll()
