"""What a catalogue of very many items costs to list, to search and to plan, and a folder of as many products to list.

python -m tests.benchmarks.catalogue [--items 10000] [--workers 4]    # a table: seconds, and peak memory in MiB
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from rsmtl.scene.open import scene_refs
from rsmtl.scene.search import Search
from rsmtl.store.collection import OutputCollection
from tests.scene.rasters import asset, write_catalog, write_raster

MODEL = "urec-landscape"
BROKEN_EVERY = 100
"""One item of so many is half written."""


def big_catalogue(folder: Path, n_items: int) -> Path:
    """Write a catalogue whose items share one small raster."""
    (folder / "items").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(1, 2000, (3, 128, 128)).astype(np.uint16)
    write_raster(folder / "shared.tif", noise)
    names = [f"items/scene-{k:05d}.json" for k in range(n_items)]
    for k, name in enumerate(names):
        west, south = k % 300 - 150, k // 300 % 150 - 75
        text = json.dumps(
            {
                "type": "Feature",
                "stac_version": "1.0.0",
                "id": f"scene-{k:05d}",
                "bbox": [west, south, west + 1, south + 1],
                "geometry": {
                    "type": "Polygon",
                    "coordinates": [
                        [
                            [west, south],
                            [west + 1, south],
                            [west + 1, south + 1],
                            [west, south + 1],
                            [west, south],
                        ]
                    ],
                },
                "properties": {"datetime": f"{2010 + k % 10}-05-06T00:00:00Z", "eo:cloud_cover": k % 100},
                "links": [],
                "assets": {"image": asset("../shared.tif")},
            }
        )
        (folder / name).write_text(text if k % BROKEN_EVERY else text[: len(text) // 2])
    return write_catalog(folder, tuple(names))


def products(folder: Path, n_items: int) -> Path:
    """Write the items of as many products, and nothing else of them."""
    for k in range(n_items):
        item = {
            "type": "Feature",
            "id": f"scene-{k:05d}",
            "bbox": [0, 0, 1, 1],
            "properties": {"datetime": "2024-05-06T00:00:00Z", "rsmtl:fingerprint": "f", "platform": "p"},
            "assets": {"segmentation": {"href": "./segmentation.tif", "gsd": 10, "description": "x" * 5000}},
        }
        (folder / item["id"]).mkdir(parents=True)
        (folder / item["id"] / "item.json").write_text(json.dumps(item))
    return folder


def measured(action: Callable[[], object]) -> tuple[float, float]:
    """Run something in a process of its own: seconds, and peak memory in MiB."""
    started = time.perf_counter()
    process = os.fork()
    if process == 0:
        action()
        os._exit(0)
    peak = _peak_mib(process, lambda: os.waitpid(process, os.WNOHANG)[0] != 0)
    return time.perf_counter() - started, peak


def planned(catalogue: Path, options: Sequence[object]) -> tuple[float, float]:
    """Plan a catalogue on the command line: seconds, and peak memory of it and its workers together."""
    command = [sys.executable, "-m", "rsmtl", "plan", catalogue, "--model", MODEL, *options]
    started = time.perf_counter()
    with subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        peak = _peak_mib(process.pid, lambda: process.poll() is not None)
    return time.perf_counter() - started, peak


def _peak_mib(process: int, ended: Callable[[], bool]) -> float:
    """Watch a process and those it starts until it ends; pages that they share count once."""
    peak = 0.0
    while not ended():
        try:
            first = psutil.Process(process)
            family = [first, *first.children(recursive=True)]
            peak = max(peak, sum(one.memory_full_info().pss for one in family) / 2**20)
        except psutil.Error:  # it has just ended
            pass
        time.sleep(0.1)
    return peak


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.catalogue")
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    table = Table(title=f"{options.items:,} items, one in {BROKEN_EVERY} broken")
    for name in ("what", "s", "peak MiB"):
        table.add_column(name, justify="left" if name == "what" else "right")
    with tempfile.TemporaryDirectory() as name:
        catalogue = big_catalogue(Path(name) / "in", options.items)
        out = products(Path(name) / "out", options.items)
        search = Search(since="2012-01-01", bbox=(-150, -90, 100, 90), max_cloud=80)
        for what, found in (
            ("list", measured(lambda: list(scene_refs(catalogue)))),
            ("read and search", measured(lambda: list(scene_refs(catalogue, search)))),
            ("collection of products", measured(lambda: OutputCollection(out).write())),
            ("rsmtl plan", planned(catalogue, ())),
            (f"rsmtl plan --workers {options.workers}", planned(catalogue, ("--workers", options.workers))),
        ):
            table.add_row(what, f"{found[0]:.1f}", f"{found[1]:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
