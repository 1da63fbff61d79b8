"""Peak memory of a worker and of the client against the size of the scene.

python -m tests.benchmarks.memory 4096     # one JSON line: peaks in MiB
"""

import json
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import rasterio
from distributed import Client, LocalCluster

from rsmtl.config import Settings
from rsmtl.dispatch import ClusterExecutor
from rsmtl.engine.product import write
from rsmtl.scene.open import open_scene
from tests import fakes

SETTINGS = Settings(window=512, overlap=64, chunk=3)


def peak_mib() -> float:
    """The most memory this process has held; `ru_maxrss` would count that of the process that started it too."""
    (line,) = (
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    return int(line.split()[1]) / 2**10


def big_scene(path: Path, size: int) -> Path:
    """Write a square scene of three bands, strip by strip."""
    strip = (fakes.textured((3, 512, size), seed=size) * 255).astype(np.uint8)
    options = {"tiled": True, "blockxsize": 512, "blockysize": 512, "crs": fakes.CRS, "compress": "zstd"}
    transform = rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)
    with rasterio.open(
        path, "w", "GTiff", size, size, 3, dtype="uint8", transform=transform, **options
    ) as file:
        for row in range(0, size, 512):
            file.write(strip, window=rasterio.windows.Window(0, row, size, 512))
    return path


def peaks(size: int) -> dict[str, float]:
    """Write the product of a square scene with one worker process, and say what each process held at most."""
    with tempfile.TemporaryDirectory() as name:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as elsewhere:
            scene = open_scene(elsewhere.submit(big_scene, Path(name) / "scene.tif", size).result())
        before = peak_mib()
        with (
            LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
            Client(cluster) as client,
        ):
            write(scene, fakes.class_mixer(), Path(name), SETTINGS, executor=ClusterExecutor(client))
            (worker,) = client.run(peak_mib).values()
        return {"size_px": size, "client_before_mib": before, "client_mib": peak_mib(), "worker_mib": worker}


if __name__ == "__main__":
    print(json.dumps(peaks(int(sys.argv[1]))))
