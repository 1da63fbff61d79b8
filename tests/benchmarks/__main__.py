"""Run the benchmarks and print one table of ratios; pictures go to a folder.

python -m tests.benchmarks [--only bc] [--size 4096] [--workers 4] [--pairs 3] [--blocks 160] [--plots bench-output]
"""

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks.table import Options, Row

PARTS = {
    "a": "peers",
    "b": "overhead",
    "c": "free_model",
    "d": "memory",
    "e": "workers",
    "f": "sweeps",
    "g": "systems",
    "h": "afterwards",
    "i": "scheduler",
    "j": "flow",
    "k": "training",
    "l": "fidelity",
    "s": "start",
}
"""Modules of this folder by letter; each has `rows(options)`."""


def main() -> None:
    """Measure, print, and keep the figures beside the pictures."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks")
    parser.add_argument(
        "--only", default="".join(PARTS), help=f"letters: {', '.join(f'{k} {v}' for k, v in PARTS.items())}"
    )
    parser.add_argument("--size", type=int, default=4096, help="edge of the scene in pixels")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--pairs", type=int, default=3, help="times each comparison is repeated")
    parser.add_argument("--blocks", type=int, default=160, help="of the fidelity, for each scene")
    parser.add_argument("--plots", type=Path, default=Path("bench-output"), help="folder for the pictures")
    asked = parser.parse_args()
    options = Options(Path(), asked.plots, asked.size, asked.workers, asked.pairs, asked.blocks)
    found = measured(asked.only, options)
    Console().print(table(found, f"{asked.workers} workers, {asked.pairs} pairs"))


def measured(letters: str, options: Options) -> list[Row]:
    """Run benchmarks, each in a folder of its own, and keep the figures beside the pictures."""
    options.plots.mkdir(parents=True, exist_ok=True)
    found = []
    for letter in letters:
        with tempfile.TemporaryDirectory() as name:
            for row in _rows(letter)(replace(options, folder=Path(name))):
                found.append(row)
                print(f"{row.part}  {row.what}: {row.ratio:.3g} {row.aim and f'(aim {row.aim})'}", flush=True)
    (options.plots / "figures.json").write_text(json.dumps([asdict(row) for row in found], indent=1))
    return found


def _rows(letter: str) -> Callable[[Options], Iterator[Row]]:
    rows: Callable[[Options], Iterator[Row]] = import_module(f"tests.benchmarks.{PARTS[letter]}").rows
    return rows


def table(rows: list[Row], title: str) -> Table:
    """Lay rows out for a terminal."""
    laid = Table(title=title)
    for name in ("", "what", "rsmtl", "other", "unit", "ratio", "aim"):
        laid.add_column(name, justify="left" if name in ("", "what", "unit") else "right")
    for row in rows:
        color = {True: "green", False: "red", None: "default"}[row.is_reached]
        cells = (row.part, row.what, f"{row.ours:.4g}", f"{row.other:.4g}", row.unit)
        laid.add_row(*cells, f"[{color}]{row.ratio:.3f}[/]", row.aim)
    return laid


if __name__ == "__main__":
    main()
