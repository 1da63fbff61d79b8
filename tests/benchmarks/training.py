"""What the launch on Dask costs: images per second of ranks on its workers over those of torchrun, same configuration.

Both sides train the same two ranks, in turns, so that a machine whose speed drifts slows both. And how long a model
waits for data: full-width U-REC on Dubai, the share that the loop itself reports.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import yaml
from distributed import Client, LocalCluster

from rsmtl.datasets import LandscapeData, Patches, Sampling, load_splits
from rsmtl.datasets.prepared import INNER_PX
from rsmtl.dispatch import ClusterExecutor, Launch, launch
from rsmtl.prepare import prepare
from rsmtl.training import TrainConfig, train
from rsmtl.training.folder import LOG_NAME
from rsmtl.training.group import Device
from rsmtl.training.log import Record
from tests.benchmarks.overhead import row_of
from tests.benchmarks.table import Options, Row

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


def rows(options: Options) -> Iterator[Row]:
    """Compare launches and ways of reading; how long a model waits is told where the data are."""
    yield launches(options)
    yield aligned(options.folder, options.n_pairs)
    if (DATA / "dubai").is_dir():
        share = waiting(options.folder, DATA, options.device)
        yield Row(
            "k", "full-width U-REC on Dubai: waiting for data, of its steps", share, 1.0, "share", share
        )


def launches(options: Options) -> Row:
    """Train in turns on Dask workers and by torchrun; on CUDA with a rank for each GPU."""
    folder, n_ranks = options.folder, N_RANKS if options.device == "cpu" else options.n_workers
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    found = []
    with (
        LocalCluster(n_workers=n_ranks, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        for i in range(options.n_pairs):
            config, out = folder / "config.yaml", folder / f"dask{i}"
            launch(config, out, folder, ClusterExecutor(client), Launch(device=options.device))
            _torchrun(config, folder / f"torchrun{i}", n_ranks, options.device)
            found.append((pace(out), pace(folder / f"torchrun{i}")))
    return row_of("k", f"{n_ranks} rank(s): launch on Dask over torchrun", "images/s", found)


def pace(out: Path) -> float:
    """Images per second over the steps of a training, without its beginning and its validation."""
    return _last_step(out)["images_per_s"]


def waiting(folder: Path, data: Path, device: Device) -> float:
    """Share of its steps that a full-width model waits for data; it is stopped before it validates."""
    config = TrainConfig.model_validate({**WAITING, "torch_threads": os.cpu_count() or 1})
    n_steps = config.sampling.patches_per_epoch // config.batch

    def stop(record: Record) -> None:
        if record["step"] == n_steps - 1:
            os.kill(os.getpid(), signal.SIGINT)

    with contextlib.suppress(KeyboardInterrupt):
        train(config, folder / "run", data, device=device, report=stop)
    return _last_step(folder / "run")["waiting"]


def aligned(folder: Path, n_pairs: int) -> Row:
    """Patches per second from a prepared data set at multiples of its inner chunks, over those at random places."""
    data = LandscapeData(n_train=1, n_validation=1, n_test=1, size_px=2048)
    prepare(data, folder, folder / "landscape.zarr")
    scenes = load_splits(data, folder).train

    def patches_per_s(align_px: int) -> float:
        sampling = Sampling(patch_px=INNER_PX, patches_per_epoch=200, align_px=align_px)
        patches, began = Patches(scenes, sampling, 0, 0), time.perf_counter()
        for i in range(len(patches)):
            patches[i]
        return len(patches) / (time.perf_counter() - began)

    patches_per_s(1)  # once for what is slow the first time
    pairs = [(patches_per_s(INNER_PX), patches_per_s(1)) for _ in range(n_pairs)]
    return row_of("k", "patches at multiples of inner chunks over random ones", "patches/s", pairs)


def _last_step(out: Path) -> dict[str, float]:
    lines = [json.loads(line) for line in (out / LOG_NAME).read_text().splitlines()]
    last: dict[str, float] = [line for line in lines if line["kind"] == "step"][-1]
    return last


def _torchrun(config: Path, out: Path, n_ranks: int, device: str) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={n_ranks}"]
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
        device,
    ]
    subprocess.run(
        [*command, *rendezvous, *words],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
