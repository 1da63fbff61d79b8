"""An undisturbed run, then storms over the same catalogue on the same cluster."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psutil

from tests.chaos.catalogue import Catalogue, make_catalogue
from tests.chaos.cluster import SURROUNDINGS, Cluster
from tests.chaos.disk import SmallDisk
from tests.chaos.kinds import ANYWHERE, ISOLATED, dealt
from tests.chaos.network import Namespaces, Network, ThisMachine
from tests.chaos.processes import Processes, outlived
from tests.chaos.products import contents, differing
from tests.chaos.report import Report
from tests.chaos.site import Site
from tests.chaos.storm import StalledError, Storm
from tests.chaos.tally import Tally
from tests.chaos.witness import PATH

DISK_BYTES = 256 * 2**20
MENDINGS = 3
"""So many nights may be needed to mend what `verify` finds: it may see only the upper one of two damages."""
GRACE_S = 20
"""A process that has lost its parent may take so long to end."""


@dataclass(frozen=True)
class Campaign:
    """What all storms have in common."""

    folder: Path
    catalogue: Catalogue
    processes: Processes
    network: Network
    disk: SmallDisk | None
    cluster: Cluster
    tally: Tally

    def site(self, name: str, seed: int) -> Site:
        """Everything as it is, and a new folder for products, on the small disk if there is one."""
        out = (self.disk.folder if self.disk else self.folder) / name
        self.tally.forget()
        return Site(
            Random(seed),
            self.catalogue,
            self.processes,
            self.cluster,
            self.network,
            self.disk,
            out,
            self.tally,
        )


@contextmanager
def campaign(folder: Path, n_scenes: int, n_workers: int, seed: int, *, isolated: bool) -> Iterator[Campaign]:
    """Lay out a catalogue and start a cluster; with the block all processes end that are still asked to."""
    catalogue, witness = make_catalogue(folder, n_scenes, seed), folder / "witness"
    processes = Processes(folder, {**SURROUNDINGS, PATH: str(witness)})
    network: Network = Namespaces(n_workers) if isolated else ThisMachine()
    disk = SmallDisk(folder / "disk", DISK_BYTES) if isolated else None
    cluster = Cluster(processes, network, n_workers, folder)
    try:
        yield Campaign(folder, catalogue, processes, network, disk, cluster, Tally(witness))
    finally:
        cluster.stop()
        if disk:
            disk.remove()


def undisturbed(common: Campaign, seed: int) -> dict[str, dict[str, str]]:
    """Run the catalogue without a fault, and return the contents of each scene's product.

    Raises
    ------
    RuntimeError
        If a chunk was run twice, or the flow failed.
    """
    site = common.site("undisturbed", seed)
    storm = Storm(site)
    storm.calm()
    if storm.ends != [0] or site.tally.n_wasted:
        raise RuntimeError(
            f"undisturbed, the flow ended with {storm.ends} and ran {site.tally.n_wasted} chunks twice"
        )
    return {scene: contents(site.out / scene) for scene in common.catalogue.scenes}


def storm_over(
    common: Campaign, expected: dict[str, dict[str, str]], n_chunks: int, n_faults: int, seed: int
) -> Report:
    """Let faults strike a run of the catalogue, mend what was damaged, and report."""
    begun = time.monotonic()
    site = common.site(f"seed{seed}", seed)
    kinds = ANYWHERE | (ISOLATED if common.disk else {})
    storm = Storm(site, kinds, expected)
    statuses: list[int] = []
    stalled = ""
    try:
        storm.rage(dealt(kinds, n_faults, site.rng), n_chunks)
        statuses.append(storm.verify())  # withdraws what is damaged
        while len(statuses) == 1 or (statuses[-1] != 0 and len(statuses) <= MENDINGS):
            storm.calm()
            statuses.append(storm.verify())
    except StalledError as error:
        stalled = str(error)
        storm.give_up()
    orphans = outlived(_without_parent(common), GRACE_S)
    found = {scene: differing(site.out / scene, expected[scene]) for scene in common.catalogue.scenes}
    return Report(
        seed=seed,
        n_scenes=len(common.catalogue.scenes),
        n_chunks=n_chunks,
        n_in_flight=common.cluster.n_workers,
        faults=storm.struck,
        left_out="" if common.disk else ", ".join(ISOLATED),
        flows=tuple(storm.ends),
        verified=tuple(statuses),
        n_run=site.tally.runs.total(),
        n_wasted=site.tally.n_wasted,
        repeated={c: n for c, n in site.tally.repeated.items() if c not in site.damaged},
        differing={scene: names for scene, names in found.items() if names},
        half=storm.half,
        tracebacks=tuple(storm.tracebacks),
        orphans=tuple(map(_described, orphans)),
        stalled=stalled,
        seconds=time.monotonic() - begun,
    )


def _without_parent(common: Campaign) -> list[psutil.Process]:
    """Return the processes that were started at some time, and do not belong to anything that runs."""
    owned = {process.pid for process in common.cluster.members()}
    return [process for process in common.processes.alive() if process.pid not in owned]


def _described(process: psutil.Process) -> str:
    try:
        return f"{process.pid} {' '.join(process.cmdline())[:100]}"
    except psutil.Error:
        return f"{process.pid}"
