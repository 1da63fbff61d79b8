"""U-REC and plain U-Net on Dubai from the same budget, three seeds each: confusion matrices, mean IoU, F1 by class.

python -m tests.benchmarks.dubai --out OUT [--data DIR] [--epochs 8] [--patches 480] [--parallel 4]

What stands in OUT is not trained again. Prints Markdown.
"""

import argparse
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from rsmtl.models import read_card
from rsmtl.training import read_config
from rsmtl.training.card import scores_table
from rsmtl.training.folder import MODEL_NAME

PRESETS = ("urec-dubai-begin", "unet-dubai")
SEEDS = (0, 1, 2)


def main() -> None:
    """Train what is not there yet, and print."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.dubai")
    parser.add_argument("--out", type=Path, required=True)
    default = Path(__file__).parents[2] / ".." / "shared" / "data"
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RSMTL_DATA", default)))
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--patches", type=int, default=480, help="per epoch")
    parser.add_argument(
        "--parallel", type=int, default=os.cpu_count() or 1, help="trainings at the same time"
    )
    options = parser.parse_args()
    runs = [(preset, seed) for seed in SEEDS for preset in PRESETS]
    with ThreadPoolExecutor(options.parallel) as pool:
        scores = dict(zip(runs, pool.map(lambda run: train(*run, options), runs), strict=True))
    print(report(scores, options.epochs, options.patches))


def train(preset: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Train one model, unless it stands, and return its scores on the test split."""
    out = options.out / f"{preset}-{seed}"
    config = read_config(preset).model_dump(mode="json")
    config |= {"seed": seed, "epochs": options.epochs}
    config["sampling"]["patches_per_epoch"] = options.patches
    path = options.out / f"{preset}-{seed}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(config))
    words = [
        "train",
        str(path),
        "--out",
        str(out),
        "--data",
        str(options.data),
        "--resume",
        "--device",
        "cpu",
    ]
    if not (out / MODEL_NAME).exists():
        subprocess.run(
            [sys.executable, "-m", "rsmtl", *words],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    found: dict[str, Any] = read_card(out / MODEL_NAME).training["test"]["segmentation"]
    return found


def report(scores: dict[tuple[str, int], dict[str, Any]], epochs: int, patches: int) -> str:
    """Return tables: a row for each training, the mean and range over seeds, and each confusion matrix."""
    classes = list(next(iter(scores.values()))["f1"])
    lines = [
        f"Dubai, test split (tiles 4 and 7), width 8, {epochs} epochs of {patches} patches.",
        "",
        f"| model | seed | mean IoU | OA | {' | '.join(f'F1 {name}' for name in classes)} |",
        "|---|---:|---:|---:|" + "---:|" * len(classes),
    ]
    for (preset, seed), found in sorted(scores.items()):
        f1 = " | ".join("–" if found["f1"][name] is None else f"{found['f1'][name]:.3f}" for name in classes)
        lines.append(
            f"| {preset} | {seed} | {found['mean_iou']:.3f} | {found['overall_accuracy']:.3f} | {f1} |"
        )
    for preset in PRESETS:
        values = [scores[preset, seed]["mean_iou"] for seed in SEEDS]
        spread = f"{min(values):.3f} to {max(values):.3f}"
        lines += ["", f"{preset}: mean IoU {statistics.mean(values):.3f}, {spread} over seeds."]
    for (preset, seed), found in sorted(scores.items()):
        lines += ["", f"### {preset}, seed {seed}", "", *scores_table(found)]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
