"""What the engine costs: the run of a scene over the bare forward passes of the same windows.

Both sides use the same worker processes, one torch thread each, the same model, layout, precision and batch. They
take turns, so that a machine whose speed drifts slows both. The run reads the scene, blends, finalises and writes
the Zarr store; COGs and the quicklook come on top and are timed apart.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import wait
from dataclasses import dataclass
from pathlib import Path

import torch
from distributed import Client, LocalCluster

from rsmtl.config import Settings
from rsmtl.dispatch import ClusterExecutor
from rsmtl.engine.drain import drain
from rsmtl.engine.network import ready
from rsmtl.engine.plan import Plan, plan
from rsmtl.models.checkpoint import load_model
from rsmtl.models.model import Model
from rsmtl.scene.open import open_scene
from rsmtl.store.cog import write_cog
from rsmtl.store.ledger import Ledger
from rsmtl.store.zarr import create_store
from rsmtl.synthetic import Landscape

MODEL = "urec-landscape"


@dataclass(frozen=True)
class Cost:
    """What one side of a comparison took."""

    wall_s: float
    cpu_s: float
    """Of all workers."""


@dataclass(frozen=True)
class Overhead:
    """One comparison; medians over pairs."""

    precision: str
    n_windows: int
    mpx: float
    run: Cost
    bare: Cost
    wall_ratio: float
    cpu_ratio: float


def landscape(folder: Path, size_px: int) -> Path:
    """Write the HRMS of a generated landscape."""
    path = folder / "landscape.tif"
    image = Landscape(seed=1, height_px=size_px, width_px=size_px).to_xarray("hrms")
    write_cog(image, path, nodata=0, bands=("red", "green", "blue"))
    return path


def measure(scene: Path, precision: str, n_workers: int, n_pairs: int = 3) -> Overhead:
    """Run the shipped demo model over a scene, and its bare forward passes, in turn."""
    made = plan(open_scene(scene), load_model(MODEL), Settings(window=512, overlap=64, precision=precision))
    with (
        LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        executor = ClusterExecutor(client)
        _bare(made, executor, 4 * n_workers)  # warm: imports, weights, first allocations
        pairs = [
            (
                _timed(client, lambda: _run(made, executor)),
                _timed(client, lambda: _bare(made, executor, made.lattice.n_windows)),
            )
            for _ in range(n_pairs)
        ]
    return Overhead(
        precision,
        made.lattice.n_windows,
        made.lattice.height * made.lattice.width / 1e6,
        _median([run for run, _ in pairs]),
        _median([bare for _, bare in pairs]),
        statistics.median(run.wall_s / bare.wall_s for run, bare in pairs),
        statistics.median(run.cpu_s / bare.cpu_s for run, bare in pairs),
    )


def _timed(client: Client, action: Callable[[], None]) -> Cost:
    cpu, start = _cpu_s(client), time.perf_counter()
    action()
    return Cost(time.perf_counter() - start, _cpu_s(client) - cpu)


def _cpu_s(client: Client) -> float:
    return sum(times.user + times.system for times in client.run(os.times).values())


def _median(costs: list[Cost]) -> Cost:
    return Cost(statistics.median(c.wall_s for c in costs), statistics.median(c.cpu_s for c in costs))


def _run(made: Plan, executor: ClusterExecutor) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "product"
        Ledger(folder).open(made.fingerprint)
        create_store(folder, made.outputs, made.geobox, made.lattice.y.chunk_px)
        drain(made, folder, executor, lambda _: None)


def _bare(made: Plan, executor: ClusterExecutor, n_windows: int) -> None:
    share, rest = divmod(n_windows, executor.n_slots)
    counts = [share + (slot < rest) for slot in range(executor.n_slots)]
    jobs = [executor.submit(_forward_passes, made.model, made.settings, count) for count in counts]
    for job in wait(jobs).done:
        job.result()


@torch.inference_mode()
def _forward_passes(model: Model, settings: Settings, n_windows: int) -> None:
    torch.set_num_threads(settings.torch_threads)
    edge = settings.window
    window = torch.rand(settings.batch, model.spec.inputs[0].channels, edge, edge)
    window = window.contiguous(memory_format=torch.channels_last)
    module = ready(model, settings.device)
    with torch.autocast(settings.device, torch.bfloat16, enabled=settings.precision == "bf16"):
        for _ in range(-(-n_windows // settings.batch)):
            module(window)
