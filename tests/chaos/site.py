"""What faults can reach, and what is to be put right after them."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.chaos.catalogue import Catalogue
from tests.chaos.cluster import Cluster
from tests.chaos.disk import SmallDisk
from tests.chaos.network import Network
from tests.chaos.night import Night
from tests.chaos.processes import Processes
from tests.chaos.tally import Chunk, Tally


class NotNow(Exception):  # it is no error
    """A fault finds nothing that it could strike."""


@dataclass
class Site:
    """A catalogue, a cluster, the flow that runs, and its products."""

    rng: Random
    catalogue: Catalogue
    processes: Processes
    cluster: Cluster
    network: Network
    disk: SmallDisk | None
    out: Path
    tally: Tally
    night: Night | None = None
    """The flow that runs, if one does."""
    others: list[Night] = field(default_factory=list)
    """Flows that run beside it."""
    marred: set[str] = field(default_factory=set)
    """Scenes of whose product something was damaged."""
    damaged: set[Chunk] = field(default_factory=set)
    """Chunks that may be run again, since what was written of them or their neighbours was damaged."""
    struck: set[str] = field(default_factory=set)
    """What a fault holds in its grip: others leave it alone."""
    _remedies: list[tuple[float, str, Callable[[], None]]] = field(default_factory=list)

    def begin_night(self) -> None:
        """Start the flow on the cluster."""
        self.night = self._begun(self.cluster)

    def begin_beside(self, *, on_cluster: bool) -> Night:
        """Start the same flow once more, on the cluster or on workers and a server of its own."""
        self.others.append(self._begun(self.cluster if on_cluster else None))
        return self.others[-1]

    def _begun(self, cluster: Cluster | None) -> Night:
        return Night(self.processes, self.catalogue, self.out, cluster)

    def one_of(self, names: list[str]) -> str:
        """Choose what a fault strikes.

        Raises
        ------
        NotNow
            If all are struck.
        """
        free = [name for name in names if name not in self.struck]
        if not free:
            raise NotNow
        return self.rng.choice(free)

    def strike(self, name: str, seconds: float, remedy: Callable[[], None]) -> None:
        """Hold something in a fault's grip for some seconds."""
        self.struck.add(name)
        self._remedies.append((time.monotonic() + seconds, name, remedy))

    def relieve(self) -> None:
        """Put right what has been wrong for long enough."""
        for one in [one for one in self._remedies if one[0] <= time.monotonic()]:
            self._remedies.remove(one)
            one[2]()
            self.struck.discard(one[1])
