"""rsmtl: `write` with local worker processes; its product has a store, COGs with overviews and a STAC item too."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module

import torch

from rsmtl.config import Settings
from rsmtl.dispatch import ClusterExecutor, gpu_cluster, gpus_for, local_cluster
from rsmtl.engine.network import ready
from rsmtl.engine.product import write
from rsmtl.models.checkpoint import load_model
from rsmtl.models.model import Model
from rsmtl.scene.open import open_scene
from tests.benchmarks.peer_runs.job import BATCH, Job


@contextmanager
def prepared(job: Job) -> Iterator[Callable[[], float]]:
    """Start workers that have loaded the model, as peers have, and import what finding out its memory needs."""
    import_module("torch._dynamo")  # for 1.5 s, by the fake tensors of `forward_bytes`
    model = load_model(job.model)
    sizes = Settings(window=job.window, overlap=job.overlap, batch=BATCH) if job.is_equal else Settings()
    heads = tuple(head.name for head in model.spec.heads)  # both, as peers do
    settings = sizes.model_copy(update={"device": job.device, "heads": heads})
    gpus = gpus_for(1) if job.device == "cuda" else ()  # peers use one
    with gpu_cluster(gpus) if gpus else local_cluster(job.n_threads) as executor:
        executor.client.run(_warm_up, model, job.window, job.device)
        yield lambda: _run(job, model, settings, executor)


def _run(job: Job, model: Model, settings: Settings, executor: ClusterExecutor) -> float:
    finished: list[float] = []
    write(
        open_scene(job.scene),
        model,
        job.folder,
        settings,
        executor=executor,
        on_progress=lambda _: finished.append(time.perf_counter()),
    )
    return finished[-1]


@torch.inference_mode()
def _warm_up(model: Model, edge: int, device: str) -> None:
    torch.set_num_threads(1)
    window = torch.zeros(1, 3, edge, edge, device=device).contiguous(memory_format=torch.channels_last)
    ready(model, device)(window)
