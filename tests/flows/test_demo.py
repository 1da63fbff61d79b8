"""`make demo` as a user runs it, with the shipped weights; and again, when everything stands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from rsmtl.demo import N_SCENES
from rsmtl.store.folder import ITEM_NAME
from tests.flows.test_process_catalogue import surroundings


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demo_runs_and_runs_again(tmp_path: Path) -> None:
    out = tmp_path / "demo-output"

    first = run_demo(out, tmp_path)

    mean_iou = float(re.search(r"^mean IoU ([\d.]+), against", first.stdout, re.MULTILINE)[1])
    assert mean_iou > 0.7, "the shipped weights fit the demo's landscapes"
    assert first.stdout.count("  IoU ") == 6
    assert first.stderr.count(": written") == N_SCENES
    items = {item: item.stat().st_mtime_ns for item in out.glob(f"products/*/{ITEM_NAME}")}
    assert len(items) == N_SCENES
    with Image.open(out / "demo.png") as picture:
        assert picture.width > 1500

    second = run_demo(out, tmp_path)

    assert second.stdout == first.stdout
    assert ": written" not in second.stderr
    assert {item: item.stat().st_mtime_ns for item in items} == items


def run_demo(out: Path, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.demo", "--out", str(out), "--workers", "2"],
        **surroundings(home),
        capture_output=True,
        check=True,
    )
