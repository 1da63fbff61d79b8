"""Which GPUs the ranks of each worker use."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Seat:
    """A worker, as its machine looks to it."""

    host: str
    gpus: tuple[str, ...]
    """What CUDA shows it, in its order; none where training is to run on the CPU."""


def place(workers: Mapping[str, Seat]) -> dict[str, tuple[str, ...]]:
    """Return the GPUs of each worker's ranks, a rank for each; a worker without any has one rank on the CPU.

    A worker that is alone on its host takes all that it sees. Several on one host each take the one that they see first
    where these differ, as dask-cuda arranges it; where they do not, they deal all out among them. Workers come in the
    order of their hosts, so that ranks of one host are neighbours.
    """
    hosts = defaultdict(list)
    for worker, seat in workers.items():
        hosts[seat.host].append(worker)
    placed: dict[str, tuple[str, ...]] = {}
    for host in sorted(hosts):
        members = sorted(hosts[host])
        seen = [workers[member].gpus for member in members]
        firsts = [gpus[0] for gpus in seen if gpus]
        apart = len(members) > 1 and len(set(firsts)) == len(members)
        for number, (member, gpus) in enumerate(zip(members, seen, strict=True)):
            placed[member] = gpus[:1] if apart else gpus[number :: len(members)]
    return placed
