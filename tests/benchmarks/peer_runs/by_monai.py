"""MONAI: `sliding_window_inference` over the scene in memory, a canvas per head."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from monai.inferers.utils import sliding_window_inference

from tests.benchmarks.peer_runs.job import (
    BATCH,
    Job,
    Network,
    read,
    to_classes,
    to_network,
    to_stored,
    write,
)


@contextmanager
def prepared(job: Job) -> Iterator[Callable[[], None]]:
    """Load the model."""
    network = Network(job)
    yield lambda: _run(job, network)


@torch.inference_mode()
def _run(job: Job, network: Network) -> None:
    scene = to_network(job, read(job.scene))[None].to(job.device)
    heads: Any
    if job.is_equal:
        heads = sliding_window_inference(
            scene, (job.window, job.window), BATCH, network, overlap=job.overlap / job.window, mode="gaussian"
        )
    else:  # a batch of 4, as in nearly all of its tutorials; overlap and mode are the function's own
        heads = sliding_window_inference(scene, (job.window, job.window), 4, network)
    write(job, to_classes(heads["segmentation"][0]), to_stored(job, heads["reconstruction"][0]))
