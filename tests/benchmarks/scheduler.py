"""What handing out jobs costs: 100,000 chunks drained by workers that do nothing, and the lazy graph of as many.

The scene is never read. The loop that hands out jobs, worker processes and TLS are real; jobs write no marks and no
sums, and take no time, so that sets are as large as they get.
Memory is that of processes of their own, the most that each has held.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import dask
import dask.array as da
import xarray as xr
from distributed.protocol import pickle
from odc.geo.geobox import GeoBox

from rsmtl.config import Settings
from rsmtl.dispatch import local_cluster
from rsmtl.engine.drain import Job, Kind, drain
from rsmtl.engine.jobs import Receipt
from rsmtl.engine.lazy import predict
from rsmtl.engine.plan import Plan, plan
from rsmtl.lattice import Chunk
from rsmtl.scene.scene import Scene
from rsmtl.store.ledger import Ledger
from rsmtl.store.place import Place
from tests import fakes
from tests.benchmarks.memory import peak_mib
from tests.benchmarks.table import Options, Row

CHUNKS_PER_SIDE = 317
WINDOW, OVERLAP = 64, 8
SETTINGS = Settings(window=WINDOW, overlap=OVERLAP, chunk=1)
AIM_PER_S = 1500.0
AIM_MIB = 2048.0


def rows(options: Options) -> Iterator[Row]:
    """Drain, and then the graph; each in a process of its own."""
    n = CHUNKS_PER_SIDE**2
    drained = _measured("drain", options)
    yield Row(
        "i",
        f"{n:,} chunks drained by {options.n_workers} workers that do nothing",
        drained["jobs_per_s"],
        AIM_PER_S,
        "jobs/s",
        drained["jobs_per_s"] / AIM_PER_S,
        "≥ 1",
    )
    yield Row(
        "i",
        "most memory of client and scheduler, one process",
        drained["client_mib"],
        AIM_MIB,
        "MiB",
        drained["client_mib"] / AIM_MIB,
        "≤ 1",
    )
    graph = _measured("graph", options)
    for what in ("build", "optimise"):
        yield Row("i", f"{what} the lazy graph of {n:,} chunks", graph[what], 1.0, "s", graph[what])
    per_task = graph["bytes"] / graph["n_tasks"]
    yield Row("i", f"a task of that graph ({graph['n_tasks']:,.0f})", per_task, 1.0, "B pickled", per_task)


def scene(chunks_per_side: int = CHUNKS_PER_SIDE) -> Scene:
    """A scene without pixels."""
    edge = chunks_per_side * (WINDOW - OVERLAP)
    nothing = da.zeros((1, edge, edge), chunks=edge, dtype="float32")
    small = fakes.make_input("image", fakes.numbered(1, 1))
    geobox = GeoBox((edge, edge), small.geobox.affine, fakes.CRS)
    pixels = xr.DataArray(nothing, dims=("band", "y", "x"))
    return Scene(id="nothing", inputs={"image": replace(small, data=pixels, geobox=geobox)})


def do_nothing(plan: Plan, folder: Place, chunk: Chunk) -> Receipt:
    """Say that a chunk is finished."""
    return Receipt(finished=True)


NOTHING: Mapping[Kind, Job] = {"run": do_nothing, "finish": do_nothing}


def drained(folder: Path, n_workers: int) -> dict[str, float]:
    """Drain a plan, and say how fast that went and what memory it took."""
    made = plan(scene(), fakes.identity(), SETTINGS)
    Ledger(folder).open(made.fingerprint)
    with local_cluster(n_workers) as executor:
        executor.submit(len, ()).result()  # the cluster stands
        start = time.perf_counter()
        done = drain(made, folder, executor, lambda _: None, jobs=NOTHING).chunks_done
        seconds = time.perf_counter() - start
    return {"jobs_per_s": done / seconds, "client_mib": peak_mib()}


def graph() -> dict[str, float]:
    """Build and optimise the lazy graph of the same scene; processor time."""
    where, model = scene(), fakes.identity()
    start = time.process_time()
    lazy = predict(where, model, SETTINGS)
    built = time.process_time()
    (optimised,) = dask.optimize(lazy)
    ended = time.process_time()
    tasks = dict(optimised.__dask_graph__())
    size = len(pickle.dumps(tasks))
    return {"build": built - start, "optimise": ended - built, "n_tasks": len(tasks), "bytes": size}


def _measured(what: str, options: Options) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.scheduler", what, str(options.folder)]
    done = subprocess.run([*command, str(options.n_workers)], stdout=subprocess.PIPE, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    print(json.dumps(graph() if sys.argv[1] == "graph" else drained(Path(sys.argv[2]), int(sys.argv[3]))))
