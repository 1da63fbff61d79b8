"""Run the benchmarks and print one table of ratios.

python -m tests.benchmarks [--size 4096] [--workers 4] [--pairs 3]
"""

import argparse
import os
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks import flow, overhead, training


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks")
    parser.add_argument("--size", type=int, default=4096, help="edge of the scene in pixels")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--pairs", type=int, default=3, help="times each comparison is repeated")
    options = parser.parse_args()
    table = Table(
        title=f"run over bare forward passes: {overhead.MODEL}, {options.size}² px, {options.workers} workers"
    )
    for name in ("precision", "windows", "run s", "bare s", "Mpx/s", "wall ratio", "CPU ratio"):
        table.add_column(name, justify="right")
    with tempfile.TemporaryDirectory() as name:
        scene = overhead.landscape(Path(name), options.size)
        for precision in ("fp32", "bf16"):
            found = overhead.measure(scene, precision, options.workers, options.pairs)
            table.add_row(
                found.precision,
                str(found.n_windows),
                f"{found.run.wall_s:.1f}",
                f"{found.bare.wall_s:.1f}",
                f"{found.mpx / found.run.wall_s:.2f}",
                f"{found.wall_ratio:.3f}",
                f"{found.cpu_ratio:.3f}",
            )
    Console().print(table)
    steps = flow.measure(options.workers, options.pairs)
    print(
        f"the flow costs {steps.overhead_s:.3f} s per scene of one chunk, over {steps.plain_s:.2f} s without it; "
        f"a scene that stands already takes {steps.standing_s:.3f} s"
    )
    cost = training.measure(options.pairs)
    print(
        f"training, {training.N_RANKS} ranks: Dask launch {cost.dask_images_per_s:.1f} images/s, torchrun "
        f"{cost.torchrun_images_per_s:.1f}, ratio {cost.ratio:.3f}"
    )
    print(f"aligned patches are read {training.aligned(options.pairs):.2f} times as fast")
    if (training.DATA / "dubai").is_dir():
        print(f"full-width U-REC on Dubai waits for data {training.waiting(training.DATA):.2%} of its steps")


if __name__ == "__main__":
    main()
