"""How soon worker processes begin, and what they hold: forked from a server that has imported everything, or spawned.

python -m tests.benchmarks.start 4    # workers; one JSON line: seconds of two clusters in turn, MiB of all processes
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from rsmtl.demo import MODEL
from rsmtl.dispatch import local_cluster
from rsmtl.fork_server import METHOD
from rsmtl.store.ledger import Ledger
from rsmtl.store.place import place
from rsmtl.synthetic.catalogue import write_catalogue
from tests.benchmarks.overhead import row_of
from tests.benchmarks.table import Options, Row

METHODS = "forkserver", "spawn"
OF_COMMAND, OF_CLUSTER = 2, 4
"""Workers."""
SIZE_PX = 1500
"""Edge of the demo's scenes."""


def rows(options: Options) -> Iterator[Row]:
    """Let both ways take turns; each measurement has a process of its own."""
    catalogue = write_catalogue(options.folder / "catalogue", 1, SIZE_PX, seed=7, collar=True)
    (scene,) = catalogue.parent.glob("*/hrms.tif")
    outs = (options.folder / f"products-{number}" for number in range(2 * options.n_pairs))
    first = [
        tuple(_first_chunk_s(scene, next(outs), method) for method in METHODS) for _ in range(options.n_pairs)
    ]
    what = f"until the first chunk of `predict --workers {OF_COMMAND}` begins"
    yield row_of("s", what, "s", first, "≤ 0.333")
    both = [tuple(map(_clusters, METHODS)) for _ in range(options.n_pairs)]
    for key, what, unit, aim in (
        ("first_s", f"a process's first `local_cluster({OF_CLUSTER})`", "s", ""),
        ("second_s", f"a process's second `local_cluster({OF_CLUSTER})`", "s", ""),
        ("mib", f"memory (Pss) of client and {OF_CLUSTER} workers", "MiB", "≤ 0.6"),
    ):
        pairs = [(forked[key], spawned[key]) for forked, spawned in both]
        yield row_of("s", f"{what}, forked over spawned", unit, pairs, aim)


def _first_chunk_s(scene: Path, out: Path, method: str) -> float:
    """Run the command to its end, and return the seconds from its start to that of its first job."""
    command = [sys.executable, "-m", "rsmtl", "predict", str(scene), "--model", MODEL, "--out", str(out)]
    began_s = time.time()
    _run([*command, "--workers", str(OF_COMMAND)], method)
    (item,) = out.glob("*/item.json")
    records = Ledger(place(item.parent)).done().values()
    return min(span.began_s for record in records for span in record.spans) - began_s


def _clusters(method: str) -> dict[str, float]:
    said = _run([sys.executable, "-m", "tests.benchmarks.start", str(OF_CLUSTER)], method)
    found: dict[str, float] = json.loads(said.splitlines()[-1])
    return found


def _run(command: list[str], method: str) -> str:
    environment = {**os.environ, METHOD: method}
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, env=environment).stdout


def measured(n_workers: int) -> dict[str, float]:
    """Start a cluster twice."""
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        with local_cluster(n_workers):
            seconds.append(time.perf_counter() - start)
            client = psutil.Process()
            processes = [client, *client.children(recursive=True)]
            n_bytes = sum(process.memory_full_info().pss for process in processes)
    return {"first_s": seconds[0], "second_s": seconds[1], "mib": n_bytes / 2**20}


if __name__ == "__main__":
    print(json.dumps(measured(int(sys.argv[1]))))
