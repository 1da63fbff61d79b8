"""What the engine costs: the run of a scene over the bare forward passes of the same windows.

Both sides use the same worker processes, one torch thread each, the same model, layout, precision and batch. They
take turns, so that a machine whose speed drifts slows both.
"""

import statistics
import tempfile
import time
from concurrent.futures import wait
from dataclasses import dataclass
from pathlib import Path

import torch

from rsmtl.config import Settings
from rsmtl.dispatch import local_cluster
from rsmtl.models.checkpoint import load_model
from rsmtl.models.model import Model
from rsmtl.predict.drain import drain
from rsmtl.predict.executor import Executor
from rsmtl.predict.network import ready
from rsmtl.predict.plan import Plan, plan
from rsmtl.scene.open import open_scene
from rsmtl.store.ledger import Ledger
from rsmtl.store.zarr import create_store


@dataclass(frozen=True)
class Overhead:
    """One comparison."""

    precision: str
    n_windows: int
    run_s: float
    bare_s: float
    ratio: float
    """Median over the pairs of run / bare."""


def measure(scene: Path, precision: str, n_workers: int, n_pairs: int = 3) -> Overhead:
    """Run the shipped demo model over a scene, and its bare forward passes, in turn."""
    model = load_model("urec-landscape")
    settings = Settings(window=512, overlap=64, precision=precision)
    made = plan(open_scene(scene), model, settings)
    with local_cluster(n_workers) as executor:
        _bare(made, executor, n_workers)  # warm: imports, weights, first allocations
        runs, bares = [], []
        for _ in range(n_pairs):
            bares.append(_timed(lambda: _bare(made, executor, made.lattice.n_windows)))
            runs.append(_timed(lambda: _run(made, executor)))
    ratio = statistics.median(r / b for r, b in zip(runs, bares, strict=True))
    return Overhead(
        precision, made.lattice.n_windows, statistics.median(runs), statistics.median(bares), ratio
    )


def _timed(action) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _run(made: Plan, executor: Executor) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "product"
        Ledger(folder).open({})
        create_store(folder, made.outputs, made.geobox, made.lattice.y.chunk_px)
        drain(made, folder, executor, lambda _: None)


def _bare(made: Plan, executor: Executor, n_windows: int) -> None:
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
