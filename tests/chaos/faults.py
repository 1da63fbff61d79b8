"""Faults, one function for each kind; what is random about one comes from the site's generator.

A fault that finds nothing to strike raises `NotNow`, and is tried again a little later.
"""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from rsmtl.store.folder import FINGERPRINT_NAME, LEDGER_NAME
from tests.chaos.cluster import SCHEDULER, SERVER, worker
from tests.chaos.network import Namespaces
from tests.chaos.processes import family
from tests.chaos.site import NotNow, Site

Fault = Callable[[Site], None]


def kill_flow(site: Site) -> None:
    """`kill -9` of the flow."""
    assert site.night is not None
    site.night.process.kill()


def kill_lone_flow(site: Site) -> None:
    """`kill -9` of a flow with workers and a server of its own; all that it started is to end by itself."""
    name = site.one_of(["lone flow"])
    night = site.begin_beside(on_cluster=False)
    site.strike(name, site.rng.uniform(6, 20), night.process.kill)


def begin_rival(site: Site) -> None:
    """A second flow begins to work on the same catalogue, on the same cluster."""
    if site.others:
        raise NotNow
    site.begin_beside(on_cluster=True)


def kill_server(site: Site) -> None:
    """`kill -9` of the Prefect server."""
    _kill(_service(site, SERVER))


def kill_scheduler(site: Site) -> None:
    """`kill -9` of the scheduler."""
    _kill(_service(site, SCHEDULER))


def kill_worker(site: Site) -> None:
    """`kill -9` of a worker; its nanny starts another."""
    _kill(site.tally.workers[_host(site)])


def kill_nanny(site: Site) -> None:
    """`kill -9` of a worker's nanny alone; the worker is to end by itself."""
    _kill(_service(site, _host(site)))


def kill_host(site: Site) -> None:
    """`kill -9` of a worker and its nanny at once."""
    name = _host(site)
    _service(site, name)
    for process in family(site.cluster.running[name]):
        with suppress(NotNow):
            _kill(process.pid)


def stop_worker(site: Site) -> None:
    """A worker stands still, is given up by the scheduler or not, and goes on."""
    host = _host(site)
    pid = site.tally.workers[host]
    _signal(pid, signal.SIGSTOP)
    site.strike(host, site.rng.uniform(1, 10), lambda: _continue(pid))


def cut_host(site: Site) -> None:
    """A host is cut off the net, and joins it again."""
    network, host = site.network, _host(site)
    assert isinstance(network, Namespaces)
    number = [worker(k) for k in range(site.cluster.n_workers)].index(host)
    network.cut(number)
    site.strike(host, site.rng.uniform(1, 10), lambda: network.join(number))


def fill_disk(site: Site) -> None:
    """The disk with the products is full for a while."""
    disk = site.disk
    assert disk is not None
    name = site.one_of(["disk"])
    disk.fill()
    site.strike(name, site.rng.uniform(1, 5), disk.free)


def hide_image(site: Site) -> None:
    """The image of a scene vanishes, and comes back as it was."""
    scene = site.one_of(list(site.catalogue.scenes))
    image = site.catalogue.image(scene)
    hidden = image.rename(image.with_name("hidden"))
    site.strike(scene, site.rng.uniform(1, 5), lambda: _rename(hidden, image))


def replace_image(site: Site) -> None:
    """The image of a scene that was begun is replaced by another one, and put back as it was."""
    begun = [scene for scene in site.catalogue.scenes if _is_begun(site, scene)]
    scene = site.one_of(begun)
    image = site.catalogue.image(scene)
    other = site.catalogue.image(site.one_of([one for one in site.catalogue.scenes if one != scene]))
    hidden, copy = image.with_name("hidden"), image.with_name("copy")
    hidden.symlink_to(image.readlink())
    copy.symlink_to(other.readlink())
    copy.replace(image)
    site.strike(scene, site.rng.uniform(1, 5), lambda: _rename(hidden, image))


def _is_begun(site: Site, scene: str) -> bool:
    """Whether a run over a scene's own image has left its fingerprint, so that none over another one can begin."""
    found = site.out / scene / LEDGER_NAME / FINGERPRINT_NAME
    return scene not in site.marred and found.exists()


def _host(site: Site) -> str:
    return site.one_of([worker(host) for host in range(site.cluster.n_workers)])


def _service(site: Site, name: str) -> int:
    process = site.cluster.running[name]
    if process.poll() is not None:
        raise NotNow
    return process.pid


def _kill(pid: int) -> None:
    _signal(pid, signal.SIGKILL)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        raise NotNow from None


def _continue(pid: int) -> None:
    with suppress(NotNow):  # it was killed, by its nanny perhaps
        _signal(pid, signal.SIGCONT)


def _rename(old: Path, new: Path) -> None:
    old.rename(new)
