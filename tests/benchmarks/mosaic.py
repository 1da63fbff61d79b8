"""What limits a thousand GPUs over a country: `python -m tests.benchmarks.mosaic` prints a Markdown table.

The order of jobs and the sizes of sets are those of the engine; the clock is simulated. What a set and a job cost the
client and the scheduler is measured here, with workers that do nothing, and so are the requests per chunk, counted by a
store of our own over HTTP. Bytes are those that the plan projects. Seconds per window on a GPU are a parameter, as are
the store's latency and the bandwidth of a worker.
"""

import heapq
import logging
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, product
from math import ceil
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from urllib.parse import unquote

import numpy as np
import s3fs
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from rsmtl.config import Settings
from rsmtl.dispatch import local_cluster
from rsmtl.engine import drain as loop
from rsmtl.engine.cost import cost
from rsmtl.engine.executor import SerialExecutor
from rsmtl.engine.jobs import Receipt
from rsmtl.engine.plan import plan
from rsmtl.lattice import Chunk, Lattice
from rsmtl.models.checkpoint import load_model
from rsmtl.scene.open import open_scene
from rsmtl.scene.scene import Storage
from rsmtl.store.ledger import Ledger, Span
from rsmtl.store.place import place
from rsmtl.store.zarr import create_store
from tests import fakes
from tests.benchmarks import scheduler
from tests.s3.conftest import NOBODY

MODEL = "urec-landscape"
WINDOW, OVERLAP, STRIDES = 512, 64, 4
CHUNK_PX = STRIDES * (WINDOW - OVERLAP)
COUNTRY_KM2 = 500_000.0
HEADINGS = (
    *("GSD", "chunks", "window", "GPUs", "threads", "hours"),
    *("GPUs busy", "handing out busy", "requests/s", "GB/s", "limit"),
)
GPUS = (1, 10, 100, 1000)
WINDOW_S = (0.005, 0.02)
"""Of a GPU, swept: not measured."""
THREADS = (1, 8)
"""Of a worker, which has one GPU: while one runs windows, others read and write."""
REQUEST_S = 0.03
"""Of an object store in the same region; an assumption."""
WORKER_BYTES_PER_S = 1e9
"""Of one worker's network; an assumption."""
PARTS = (".tif", "partials", "product.zarr", "ledger")
"""What of a path says what it is for: reading the scene, sums, shards and their metadata, marks."""


@dataclass(frozen=True)
class Handing:
    """Time that handing out takes of the client and the scheduler, which share a process here."""

    set_s: float
    job_s: float


@dataclass(frozen=True)
class Traffic:
    """What a chunk asks of a store."""

    requests: dict[str, float]
    """By what they are for."""
    n_bytes: float


@dataclass(frozen=True)
class Outcome:
    """Of a simulated run."""

    seconds: float
    n_chunks: int
    window_busy: float
    """Share of the GPUs' time."""
    handing_busy: float
    """Share of the client's and the scheduler's time."""


def main() -> None:
    """Measure, simulate, print."""
    handing, traffic = measure_handing(), measure_traffic()
    print(f"- handing out: {1e3 * handing.set_s:.2f} ms a set, {1e6 * handing.job_s:.0f} µs a job in it")
    told = ", ".join(f"{what} {n:.1f}" for what, n in sorted(traffic.requests.items()))
    print(f"- requests for a chunk of {STRIDES}×{STRIDES} windows: {told}")
    print(
        f"- its bytes, uncompressed, of three bands of 16 bits and what {MODEL} makes: {traffic.n_bytes:,.0f}"
    )
    print(f"- assumed: {1e3 * REQUEST_S:.0f} ms a request, {WORKER_BYTES_PER_S / 1e9:.0f} GB/s a worker\n")
    for row in (HEADINGS, ("--:",) * (len(HEADINGS) - 1) + ("---",)):
        print(f"| {' | '.join(row)} |")
    for gsd_m, window_s, threads, n in product((0.5, 10.0), WINDOW_S, THREADS, GPUS):
        print(_line(gsd_m, window_s, threads, n, handing, traffic), flush=True)


def _line(gsd_m: float, window_s: float, threads: int, n: int, handing: Handing, traffic: Traffic) -> str:
    n_chunks = ceil(COUNTRY_KM2 * 1e6 / gsd_m**2 / CHUNK_PX**2)
    n_simulated = min(n_chunks, max(10_000, 60 * n * threads))  # a part, whose pace is that of the whole
    n_requests = sum(traffic.requests.values())
    store_s = n_requests * REQUEST_S + traffic.n_bytes / WORKER_BYTES_PER_S
    found = simulate(ceil(n_simulated**0.5), n, threads, window_s, handing, store_s)
    per_s = found.n_chunks / found.seconds
    return (
        f"| {gsd_m:g} m | {n_chunks:,} | {1e3 * window_s:g} ms | {n} | {threads} | {n_chunks / per_s / 3600:.3g} "
        f"| {found.window_busy:.0%} | {found.handing_busy:.0%} | {n_requests * per_s:,.0f} "
        f"| {traffic.n_bytes * per_s / 1e9:.2g} | {_limit(found, n_chunks, n * threads)} |"
    )


def _limit(found: Outcome, n_chunks: int, n_slots: int) -> str:
    if n_chunks < 4 * n_slots:
        return "too few chunks"
    if found.handing_busy > 0.8:
        return "handing out"
    return "GPUs" if found.window_busy > 0.8 else "waiting for the store"


def measure_handing() -> Handing:
    """Drain chunks in sets of one and in sets of many, and solve for what each costs; processor time."""
    alone_s, together_s = _per_job(40, 1), _per_job(160, loop.MOST_TOGETHER)
    set_s = (alone_s - together_s) / (1 - 1 / loop.MOST_TOGETHER)
    return Handing(set_s, alone_s - set_s)


def _per_job(side: int, most: int) -> float:
    """Processor time of this process, where client and scheduler are, for each of `side`² jobs that do nothing."""
    made = plan(scheduler.scene(side), fakes.identity(), scheduler.SETTINGS)
    with (
        local_cluster(os.cpu_count() or 1) as executor,
        tempfile.TemporaryDirectory() as name,
        patch.object(loop, "MOST_TOGETHER", most),
    ):
        Ledger(Path(name)).open(made.fingerprint)
        start = time.process_time()
        loop.drain(made, Path(name), executor, lambda _: None, jobs=scheduler.NOTHING)
        return (time.process_time() - start) / side**2


def measure_traffic() -> Traffic:
    """Drain two scenes from and into a store of our own; what the larger one asks for more is per chunk."""
    asked, n_chunks, settings = [], [], Settings(window=WINDOW, overlap=OVERLAP, chunk=STRIDES)
    with counting_store() as counted, tempfile.TemporaryDirectory() as name:
        system = s3fs.S3FileSystem(use_listings_cache=False)
        system.mkdir("country")
        for n in (2, 4):
            path = fakes.write_tiff(Path(name) / "scene.tif", np.ones((1, *2 * [n * CHUNK_PX]), np.uint8))
            system.put_file(path, f"country/{n}.tif")
            made = plan(open_scene(f"s3://country/{n}.tif"), fakes.identity(high=255.0), settings)
            folder = place(f"s3://country/out/{n}")
            Ledger(folder).open(made.fingerprint)
            create_store(folder, made.outputs, made.geobox, made.lattice.y.chunk_px)
            counted.clear()
            loop.drain(made, folder, SerialExecutor(), lambda _: None)
            asked.append(Counter(counted))
            n_chunks.append(len(made.chunks))
    per_chunk = {what: (n - asked[0][what]) / (n_chunks[1] - n_chunks[0]) for what, n in asked[1].items()}
    pixels = fakes.make_scene(np.ones((3, *2 * [4 * CHUNK_PX])), Storage("uint16", nodata=0))
    projected = cost(plan(pixels, load_model(MODEL), settings))
    n_bytes = projected.read_bytes + projected.written_bytes + 2 * projected.border_bytes
    return Traffic(per_chunk, n_bytes / projected.n_chunks)


@contextmanager
def counting_store() -> Iterator[Counter[str]]:
    """Serve an object store from this process, and count what is asked of it by what it is for."""
    counted: Counter[str] = Counter()
    application = DomainDispatcherApplication(create_backend_app)

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        asked = environ["PATH_INFO"] + unquote(environ.get("QUERY_STRING", ""))
        counted[next((what for what in PARTS if what in asked), "the rest")] += 1
        answered: Iterable[bytes] = application(environ, start)
        return answered

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with make_server("127.0.0.1", 0, answer, threaded=True) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found_at = {**NOBODY, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}"}
        with patch.dict(os.environ, found_at):
            yield counted
        server.shutdown()


class _Machines(SerialExecutor):
    """Workers whose clock is simulated: each set goes to the one that is free first."""

    def __init__(self, n_slots: int) -> None:
        self.n_slots = n_slots
        self.now_s = self.lasting_s = 0.0
        """When the next set is handed out, and how long it lasts."""
        self._free_s = [0.0] * n_slots
        self._ending: list[tuple[float, int, Future[Any]]] = []
        self._numbers = count()

    def submit(self, function: Callable[..., Any], *args: Any) -> "Future[Any]":
        """Note when a set ends."""
        future: Future[Any] = Future()
        end_s = max(self.now_s, self._free_s[0]) + self.lasting_s
        heapq.heapreplace(self._free_s, end_s)
        heapq.heappush(self._ending, (end_s, next(self._numbers), future))
        return future

    def next_ended(self) -> tuple[float, "Future[Any]"]:
        """Return when the next set ends, and its future."""
        end_s, _, future = heapq.heappop(self._ending)
        return end_s, future


def simulate(
    side: int, n_gpus: int, threads: int, window_s: float, handing: Handing, store_s: float
) -> Outcome:
    """Run `side`² chunks on GPUs that take jobs in the order and the sets in which the engine hands them out."""
    lattice = Lattice(side * CHUNK_PX, side * CHUNK_PX, WINDOW, OVERLAP, STRIDES)
    country: Any = SimpleNamespace(lattice=lattice, chunks=tuple(lattice.chunks()))

    def job_s(kind: str, chunk: Chunk) -> float:
        windows_s = len(lattice.windows_of(chunk)) * window_s if kind == "run" else 0.0
        return max(store_s + windows_s, threads * windows_s)  # of a GPU's threads one at a time runs windows

    nothing_yet: Any = SimpleNamespace(done=dict, partials=set)
    machines = _Machines(n_gpus * threads)
    state = loop._State(country, nothing_yet, loop.even_order(country), lambda _: None)
    sets = loop._Sets(machines, loop.JOB_LIMIT_S)
    run: set[Chunk] = set()
    handed_s = 0.0
    while state.jobs or sets.pending:
        while state.jobs and sets.has_room:
            kind, chunks = state.take(sets.size(len(state.jobs)))
            spent_s = handing.set_s + handing.job_s * len(chunks)
            machines.now_s, handed_s = machines.now_s + spent_s, handed_s + spent_s
            machines.lasting_s = sum(job_s(kind, chunk) for chunk in chunks)
            sets.hand_out(_never, None, Path(), kind, chunks)
        end_s, future = machines.next_ended()
        machines.now_s = max(machines.now_s, end_s)
        kind, chunks = sets.pending[future]
        future.set_result([Receipt(span=Span("", 0.0, {"": job_s(kind, chunk)})) for chunk in chunks])
        sets.next_done()
        for chunk in chunks:
            if kind == "finish" or lattice.waits_for(chunk) - {chunk} <= run:
                state.has_finished(chunk)
            if kind == "run":
                run.add(chunk)
                state.has_run(chunk)
    busy = lattice.n_windows * window_s / (n_gpus * machines.now_s)
    return Outcome(machines.now_s, len(country.chunks), busy, handed_s / machines.now_s)


def _never(*_: object) -> Receipt:
    raise AssertionError("the work of a simulated job is simulated too")


if __name__ == "__main__":
    main()
