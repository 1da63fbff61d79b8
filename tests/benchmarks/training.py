"""What the launch on Dask costs: images per second of ranks on its workers over those of torchrun, same configuration.

Both sides train the same two ranks, in turns, so that a machine whose speed drifts slows both. And how long a model
waits for data: full-width U-REC on Dubai, the share that the loop itself reports.
"""

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml
from distributed import Client, LocalCluster

from rsmtl.datasets import LandscapeData, Patches, Sampling, load_splits
from rsmtl.datasets.prepared import INNER_PX
from rsmtl.dispatch import ClusterExecutor, Launch, launch
from rsmtl.prepare import prepare
from rsmtl.training import TrainConfig, train
from rsmtl.training.folder import LOG_NAME
from rsmtl.training.log import Record

DATA = Path(os.environ.get("RSMTL_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
N_RANKS = 2
CONFIG = {
    "system": "urec",
    "model": {"width": 8},
    "data": {"name": "landscape", "n_train": 2, "n_validation": 1, "n_test": 1, "size_px": 512},
    "sampling": {"patch_px": 128, "patches_per_epoch": 240},
    "epochs": 1,
    "batch": 8,
    "optimizer": {"lr": 1e-3},
    "validation_px": 512,
    "torch_threads": 1,
}
WAITING = {
    "system": "urec",
    "data": {"name": "dubai"},
    "sampling": {"patch_px": 256, "patches_per_epoch": 16, "jitter": 0.3, "zoom": 2.0},
    "epochs": 1,
    "batch": 4,
    "optimizer": {"lr": 1e-4},
    "validation_px": 2048,
}
"""Four steps of U-REC at the published width."""


@dataclass(frozen=True)
class LaunchCost:
    """Medians over pairs."""

    dask_images_per_s: float
    torchrun_images_per_s: float
    ratio: float


def measure(pairs: int) -> LaunchCost:
    """Train in turns on Dask workers and by torchrun."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
        with (
            LocalCluster(n_workers=N_RANKS, threads_per_worker=1, dashboard_address=None) as cluster,
            Client(cluster) as client,
        ):
            for i in range(pairs):
                launch(
                    folder / "config.yaml",
                    folder / f"dask{i}",
                    folder,
                    ClusterExecutor(client),
                    Launch(device="cpu"),
                )
                _torchrun(folder / "config.yaml", folder / f"torchrun{i}")
                found.append((pace(folder / f"dask{i}"), pace(folder / f"torchrun{i}")))
    dask, plain = (statistics.median(side) for side in zip(*found, strict=True))
    return LaunchCost(dask, plain, statistics.median(a / b for a, b in found))


def pace(out: Path) -> float:
    """Images per second over the steps of a training, without its beginning and its validation."""
    return float(_last_step(out)["images_per_s"])


def waiting(data: Path) -> float:
    """Share of its steps that a full-width model waits for data; it is stopped before it validates."""
    config = TrainConfig.model_validate({**WAITING, "torch_threads": os.cpu_count() or 1})
    n_steps = config.sampling.patches_per_epoch // config.batch

    def stop(record: Record) -> None:
        if record["step"] == n_steps - 1:
            os.kill(os.getpid(), signal.SIGINT)

    with tempfile.TemporaryDirectory() as name:
        with contextlib.suppress(KeyboardInterrupt):
            train(config, Path(name) / "run", data, device="cpu", report=stop)
        return float(_last_step(Path(name) / "run")["waiting"])


def aligned(pairs: int) -> float:
    """Patches per second from a prepared data set at multiples of its inner chunks, over those at random places."""
    data = LandscapeData(n_train=1, n_validation=1, n_test=1, size_px=2048)
    with tempfile.TemporaryDirectory() as name:
        prepare(data, Path(name), Path(name) / "landscape.zarr")
        scenes = load_splits(data, Path(name)).train

        def seconds(align_px: int) -> float:
            sampling = Sampling(patch_px=INNER_PX, patches_per_epoch=200, align_px=align_px)
            patches, began = Patches(scenes, sampling, 0, 0), time.perf_counter()
            for i in range(len(patches)):
                patches[i]
            return time.perf_counter() - began

        seconds(1)  # once for what is slow the first time
        return statistics.median(seconds(1) / seconds(INNER_PX) for _ in range(pairs))


def _last_step(out: Path) -> dict[str, float]:
    lines = [json.loads(line) for line in (out / LOG_NAME).read_text().splitlines()]
    return [line for line in lines if line["kind"] == "step"][-1]


def _torchrun(config: Path, out: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={N_RANKS}"]
    rendezvous = ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]
    words = [
        "-m",
        "rsmtl",
        "train",
        str(config),
        "--out",
        str(out),
        "--data",
        str(out.parent),
        "--device",
        "cpu",
    ]
    subprocess.run(
        [*command, *rendezvous, *words],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
