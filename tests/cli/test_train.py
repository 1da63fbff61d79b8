"""`rsmtl train`: a configuration in, a checkpoint out."""

from pathlib import Path

import pytest
import torch

from rsmtl.models import load_model
from tests.cli.conftest import Call, assert_refused

LANDSCAPE = "data: {name: landscape, n_train: 1, n_validation: 1, n_test: 1, size_px: 64}"
TINY = """
system: urec
model: {width: 2}
data: {name: landscape, n_train: 1, n_validation: 1, n_test: 1, size_px: 64}
sampling: {patch_px: 32, patches_per_epoch: 4}
loss: {segmentation: 0.9, reconstruction: 0.1}
epochs: 2
batch: 2
optimizer: {lr: 1.0e-3}
validation_px: 64
torch_threads: 1
"""


def test_a_checkpoint_and_a_line_for_every_epoch(call: Call, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    ended = call("train", tmp_path / "tiny.yaml", "--out", tmp_path / "run", "--json")
    assert ended.status == 0
    assert [line.split()[:2] for line in ended.err.splitlines()[:2]] == [["epoch", "0"], ["epoch", "1"]]
    assert load_model(ended.json["checkpoint"]).spec.system == "urec"
    assert 0 <= ended.json["test"]["segmentation"]["mean_iou"] <= 1


def test_no_such_configuration(call: Call, tmp_path: Path) -> None:
    ended = call("train", "urec-mars", "--out", tmp_path / "run", "--data", tmp_path)
    assert_refused(ended, tmp_path, "there is no training configuration 'urec-mars': give the path")


def test_a_configuration_with_a_wrong_value(call: Call, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY.replace("epochs: 2", "epochs: -2"))
    ended = call("train", tmp_path / "tiny.yaml", "--out", tmp_path / "run")
    assert_refused(ended, tmp_path, "epochs: expected more than 0, got '-2'")


def test_data_that_are_not_there(call: Call, tmp_path: Path) -> None:
    ended = call("train", "urec-dubai", "--out", tmp_path / "run", "--data", tmp_path)
    assert_refused(ended, tmp_path, str(tmp_path / "dubai"))


def test_it_goes_on_only_if_told_to(call: Call, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    first = call("train", tmp_path / "tiny.yaml", "--out", tmp_path / "run")
    assert first.status == 0
    again = call("train", tmp_path / "tiny.yaml", "--out", tmp_path / "run")
    assert_refused(
        again, tmp_path, "holds another training (log.jsonl): choose another folder, or go on with it"
    )
    assert call("train", tmp_path / "tiny.yaml", "--out", tmp_path / "run", "--resume").status == 0


def test_cuda_that_is_not_there(call: Call, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    (tmp_path / "tiny.yaml").write_text(TINY)
    ended = call("train", tmp_path / "tiny.yaml", "--out", tmp_path / "run", "--device", "cuda")
    assert_refused(
        ended, tmp_path, "there is no CUDA device here: use --device cpu, or a machine that has one"
    )


@pytest.mark.slow
@pytest.mark.cluster
def test_on_workers_of_this_machine(call: Call, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    ended = call("train", tmp_path / "tiny.yaml", "--out", tmp_path / "run", "--workers", 2, "--json")
    assert ended.status == 0, ended.err
    assert load_model(ended.json["checkpoint"]).spec.system == "urec"
    assert "epoch   1" in ended.err


@pytest.mark.slow
@pytest.mark.cluster
def test_on_workers_wrong_data_are_one_sentence(call: Call, tmp_path: Path) -> None:
    """Only ranks look at the data, and what they say reaches the user as it is; nothing is tried again."""
    (tmp_path / "dubai.yaml").write_text(TINY.replace(LANDSCAPE, "data: {name: dubai}"))
    words = ("--data", tmp_path, "--workers", 2)  # whatever RSMTL_DATA points to
    ended = call("train", tmp_path / "dubai.yaml", "--out", tmp_path / "run", *words)
    assert "there are no images in" in ended.err
    assert "Traceback" not in ended.err
    assert ended.status == 2
    assert [len(list(worker.glob("*_*"))) for worker in (tmp_path / "run" / "ranks").iterdir()] == [1, 1]
