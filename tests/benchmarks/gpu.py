"""On a machine with CUDA: peers, overhead, the free model and training on its GPUs, in one go and one table.

python -m tests.benchmarks.gpu [--only abck] [--size 8192] [--workers 1] [--pairs 3] [--plots bench-gpu]
"""

import argparse
import sys
from pathlib import Path

import torch
from rich.console import Console

from rsmtl.dispatch.gpus import gpus_for
from rsmtl.engine.device import check_device
from rsmtl.errors import RsmtlError
from tests.benchmarks.__main__ import measured, table
from tests.benchmarks.table import Options

PARTS = "abck"
"""Of the benchmarks, those that a GPU changes."""


def main() -> int:
    """Measure, and print the table under the name of the device."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.gpu")
    parser.add_argument("--only", default=PARTS, help=f"letters out of {PARTS}")
    parser.add_argument("--size", type=int, default=8192, help="edge of the scene in pixels")
    parser.add_argument("--workers", type=int, default=1, help="GPUs, with a worker process each")
    parser.add_argument("--pairs", type=int, default=3, help="times each comparison is repeated")
    parser.add_argument("--plots", type=Path, default=Path("bench-gpu"), help="folder for the pictures")
    asked = parser.parse_args()
    try:
        check_device("cuda")
        gpus_for(asked.workers)
    except RsmtlError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    options = Options(Path(), asked.plots, asked.size, asked.workers, asked.pairs, device="cuda")
    title = (
        f"{torch.cuda.get_device_name()} × {asked.workers}, {asked.pairs} pairs, torch {torch.__version__}"
    )
    Console().print(table(measured(asked.only, options), title))
    return 0


if __name__ == "__main__":
    sys.exit(main())
