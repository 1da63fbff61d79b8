"""Dask alone: `map_overlap` over the scene's blocks in threads, both maps stored in Zarr as they come."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import rioxarray
import torch
import xarray as xr
import zarr
from numpy.typing import NDArray

from tests.benchmarks.peer_runs.job import (
    Job,
    Network,
    to_classes,
    to_network,
    to_stored,
)

DIVISOR = 32
"""Of the demo model: Dask's last blocks have whatever size is left."""


@contextmanager
def prepared(job: Job) -> Iterator[Callable[[], None]]:
    """Load the model."""
    network = Network(job)
    with dask.config.set(scheduler="threads", num_workers=job.n_threads):
        yield lambda: _run(job, network)


def _run(job: Job, network: Network) -> None:
    block = job.window - job.overlap
    opened = rioxarray.open_rasterio(job.scene, chunks={"y": block, "x": block})
    assert isinstance(opened, xr.DataArray)
    scene = opened.data.rechunk({axis: _sizes(opened.data.chunks[axis], job.overlap) for axis in (1, 2)})
    answers = scene.map_overlap(
        lambda pixels: _heads(job, network, pixels),
        depth=(0, job.overlap // 2, job.overlap // 2),
        boundary="reflect",
        dtype=np.float32,
        chunks=((9,), *(tuple(size + job.overlap for size in sizes) for sizes in scene.chunks[1:])),
        meta=np.empty((0, 0, 0), np.float32),
    )
    classes = answers[:6].map_blocks(
        lambda part: to_classes(torch.from_numpy(part)), drop_axis=0, dtype=np.uint8
    )
    reconstruction = answers[6:].map_blocks(
        lambda part: to_stored(job, torch.from_numpy(part)), dtype=np.uint16
    )
    maps = {"segmentation": classes, "reconstruction": reconstruction}
    stores = [
        zarr.create_array(
            Path(job.folder) / f"{name}.zarr", shape=one.shape, chunks=one.chunksize, dtype=one.dtype
        )
        for name, one in maps.items()
    ]
    da.store(list(maps.values()), stores, lock=False)


@torch.inference_mode()
def _heads(job: Job, network: Network, pixels: NDArray[Any]) -> NDArray[np.float32]:
    if job.is_equal:  # as users do who know that each of Dask's threads would start as many of torch's
        torch.set_num_threads(1)
    height, width = pixels.shape[1:]
    pixels = np.pad(pixels, [(0, 0), (0, -height % DIVISOR), (0, -width % DIVISOR)], mode="edge")
    heads = network(to_network(job, pixels)[None])
    return torch.cat([heads["segmentation"][0], heads["reconstruction"][0]])[:, :height, :width].cpu().numpy()


def _sizes(blocks: tuple[int, ...], overlap: int) -> tuple[int, ...]:
    """Let the last block join its neighbour where it is smaller than what that wants of it."""
    *rest, last = blocks
    return blocks if not rest or last >= overlap // 2 else (*rest[:-1], rest[-1] + last)
