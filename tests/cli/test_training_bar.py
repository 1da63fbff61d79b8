"""What a training shows while it runs."""

import io
from typing import Any

import pytest
from rich.console import Console

from rsmtl.cli.report import Report
from rsmtl.cli.training_bar import TrainingBar, described

STEP: dict[str, Any] = {
    "kind": "step",
    "epoch": 1,
    "step": 4,
    "n_steps": 10,
    "n_epochs": 3,
    "loss": {"segmentation": 1.25, "reconstruction": 0.25},
    "images_per_s": 12.34,
    "waiting": 0.056,
}
EPOCH: dict[str, Any] = {
    "kind": "epoch",
    "epoch": 1,
    "loss": {"segmentation": 1.0},
    "validation": {"segmentation": {"mean_iou": 0.5, "confusion": []}, "sr": {"psnr_db": 21.5}},
}


def test_a_line_for_each_epoch_and_no_bar_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingBar(Report("train", as_json=False)) as bar:
        bar.update(STEP)
        bar.update(EPOCH)
    out, err = capsys.readouterr()
    assert out.startswith("epoch   1  loss 1.0000  segmentation mean IoU 0.5000  sr PSNR 21.50 dB  ")
    assert len(out.splitlines()) == 1
    assert "images/s" not in err


def test_a_terminal_shows_pace_and_waiting() -> None:
    report = Report("train", as_json=False)
    screen = io.StringIO()
    report.notes = Console(file=screen, force_terminal=True, width=120)
    with TrainingBar(report) as bar:
        bar.update(STEP)
        bar._bar.refresh()
    assert "epoch 1" in screen.getvalue()
    assert "loss 1.5  12.3 images/s  6% waiting for data" in screen.getvalue()


def test_scores_without_a_meaning_are_left_out() -> None:
    assert described({"hrms": {"psnr_db": 30.123, "q": 0.9, "ergas": 3.0}}) == "hrms PSNR 30.12 dB, Q 0.9000"
    assert described({"segmentation": {"mean_iou": None}}) == "segmentation "
