"""Peak memory of a worker and of the client against the size of the scene.

python -m tests.benchmarks.memory 4096 [4]    # edge in pixels, workers; one JSON line: peaks in MiB
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import rasterio

from rsmtl.config import Settings
from rsmtl.dispatch import local_cluster
from rsmtl.engine.product import write
from rsmtl.scene.open import open_scene
from tests import fakes
from tests.benchmarks.pictures import curves
from tests.benchmarks.table import Options, Row

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


def peaks(size: int, n_workers: int = 1) -> dict[str, float]:
    """Write the product of a square scene with worker processes, and say what each process held at most."""
    with tempfile.TemporaryDirectory() as name:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as elsewhere:
            scene = open_scene(elsewhere.submit(big_scene, Path(name) / "scene.tif", size).result())
        before = peak_mib()
        with local_cluster(n_workers) as executor:
            write(scene, fakes.class_mixer(), Path(name), SETTINGS, executor=executor)
            worker = max(executor.client.run(peak_mib).values())
        return {"size_px": size, "client_before_mib": before, "client_mib": peak_mib(), "worker_mib": worker}


def rows(options: Options) -> Iterator[Row]:
    """Measure scenes of up to eight times the edge, each in processes of its own, as a peak is never forgotten."""
    reference, *others = (options.size_px * factor for factor in (2, 1, 4, 8))
    found = {size: _peaks_elsewhere(size, options.n_workers) for size in (reference, *others)}
    for size in others:
        for who in ("worker", "client"):
            ours, other = found[size][f"{who}_mib"], found[reference][f"{who}_mib"]
            aim = "≤ 1.1" if size > reference else ""
            yield Row(
                "d", f"peak of a {who}: {size}² against {reference}²", ours, other, "MiB", ours / other, aim
            )
    drawn = {
        who: [(size, found[size][f"{who}_mib"]) for size in sorted(found)] for who in ("worker", "client")
    }
    labels = "edge of the scene, pixels", "peak memory of a process, MiB"
    curves(options.plots / "memory.png", "Memory against the size of the scene", labels, drawn)


def _peaks_elsewhere(size: int, n_workers: int) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.memory", str(size), str(n_workers)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    print(json.dumps(peaks(*(int(number) for number in sys.argv[1:]))))
