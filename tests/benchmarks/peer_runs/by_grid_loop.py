"""A loop as users of TorchGeo write it: a `DataLoader` over a grid of windows, half the overlap cropped from each.

Without TorchGeo itself: its sampler gives the same windows, and its dataset reads them from the same file in the same
way, with some geometry on top. Nothing is blended, so only classes are kept, not logits.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

import numpy as np
import rasterio
import torch
from rasterio.windows import Window
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tests.benchmarks.peer_runs.job import (
    BATCH,
    Job,
    Network,
    to_classes,
    to_network,
    to_stored,
    write,
)


class Grid(Dataset[Any]):
    """Windows of a file with their origins `(y, x)`; those at the end are moved back into the scene."""

    def __init__(self, job: Job) -> None:
        self.job, self.file = job, rasterio.open(job.scene)
        rows, cols = (_origins(size, job) for size in self.file.shape)
        self.origins = list(product(rows, cols))

    def __len__(self) -> int:
        return len(self.origins)

    def __getitem__(self, index: int) -> tuple[Tensor, tuple[int, int]]:
        """Read a window."""
        y, x = self.origins[index]
        return to_network(self.job, self.file.read(window=Window(x, y, self.job.window, self.job.window))), (
            y,
            x,
        )


@contextmanager
def prepared(job: Job) -> Iterator[Callable[[], None]]:
    """Load the model."""
    network = Network(job)
    yield lambda: _run(job, network)


@torch.inference_mode()
def _run(job: Job, network: Network) -> None:
    grid = Grid(job)
    classes = np.zeros(grid.file.shape, np.uint8)
    reconstruction = np.zeros((3, *grid.file.shape), np.uint16)
    for windows, origins in DataLoader(grid, batch_size=BATCH if job.is_equal else 4):
        heads = network(windows)
        for y, x, logits, values in zip(
            *origins, heads["segmentation"], heads["reconstruction"], strict=True
        ):
            top, left = (
                job.overlap // 2 if start else 0 for start in (y, x)
            )  # what lies below is written later
            inside = slice(y + top, y + job.window), slice(x + left, x + job.window)
            classes[inside] = to_classes(logits[:, top:, left:])
            reconstruction[:, *inside] = to_stored(job, values[:, top:, left:])
    write(job, classes, reconstruction)


def _origins(size: int, job: Job) -> list[int]:
    return [*range(0, size - job.window, job.window - job.overlap), size - job.window]
