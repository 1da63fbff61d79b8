"""pytorch-toolbelt: `ImageSlicer` and a `TileMerger` per head, as its README has it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from pytorch_toolbelt.inference.tiles import ImageSlicer, TileMerger
from torch import Tensor
from torch.utils.data import DataLoader

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
    image = np.moveaxis(read(job.scene), 0, -1)
    step, batch, weight = (
        (job.window - job.overlap, BATCH, "pyramid") if job.is_equal else (job.window // 2, 8, "mean")
    )
    tiler = ImageSlicer(image.shape, (job.window, job.window), (step, step), weight=weight)
    tiles = [to_network(job, np.moveaxis(tile, -1, 0)) for tile in tiler.split(image)]
    pairs: Any = list(zip(tiles, tiler.crops, strict=True))
    segmentation = TileMerger(tiler.target_shape, 6, tiler.weight, device=job.device)
    reconstruction = TileMerger(tiler.target_shape, 3, tiler.weight, device=job.device)
    for windows, crops in DataLoader(pairs, batch_size=batch):
        heads = network(windows)
        segmentation.integrate_batch(heads["segmentation"], crops)
        reconstruction.integrate_batch(heads["reconstruction"], crops)
    write(
        job,
        to_classes(_cropped(tiler, segmentation.merge())),
        to_stored(job, _cropped(tiler, reconstruction.merge())),
    )


def _cropped(tiler: ImageSlicer, merged: Tensor) -> Tensor:
    cropped: Tensor = tiler.crop_to_orignal_size(merged.movedim(0, -1))
    return cropped.movedim(-1, 0)
