"""Every kind of fault by the name that it is counted under, and which of them a machine allows."""

from random import Random

from tests.chaos import damage, faults
from tests.chaos.faults import Fault

ANYWHERE: dict[str, Fault] = {
    "flow killed": faults.kill_flow,
    "lone flow killed": faults.kill_lone_flow,
    "Prefect server killed": faults.kill_server,
    "scheduler killed": faults.kill_scheduler,
    "worker killed": faults.kill_worker,
    "nanny killed": faults.kill_nanny,
    "worker and nanny killed": faults.kill_host,
    "worker stopped, goes on": faults.stop_worker,
    "input vanishes, comes back": faults.hide_image,
    "input replaced, put back": faults.replace_image,
    "second flow at once": faults.begin_rival,
    "shard torn": damage.tear_shard,
    "bit of a shard flipped": damage.flip_bit,
    "shard removed": damage.remove_shard,
    "sums torn": damage.tear_sums,
    "mark torn": damage.tear_mark,
    "record torn": damage.tear_record,
    "picture torn": damage.tear_picture,
}
ISOLATED: dict[str, Fault] = {
    "host cut off, joins again": faults.cut_host,
    "disk full, freed again": faults.fill_disk,
}
"""Those that want a network and a disk of their own."""


def dealt(kinds: dict[str, Fault], n_faults: int, rng: Random) -> list[tuple[str, Fault]]:
    """Return faults in random order: each kind once, if there are so many, and the others at random."""
    all_kinds = rng.sample(list(kinds.items()), len(kinds))
    faults = [*all_kinds[:n_faults], *rng.choices(all_kinds, k=max(0, n_faults - len(kinds)))]
    rng.shuffle(faults)
    return faults
