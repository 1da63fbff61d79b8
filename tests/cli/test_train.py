"""`rsmtl train`: a configuration in, a checkpoint out."""

from pathlib import Path

from rsmtl.models import load_model
from tests.cli.conftest import Call, assert_refused

TINY = """
system: urec
model: {width: 2}
data: {name: landscape, n_train: 1, n_validation: 1, n_test: 1, size_px: 64}
sampling: {patch_px: 32, patches_per_epoch: 4}
loss: {segmentation: 0.9, reconstruction: 0.1}
epochs: 2
batch: 2
lr: 1.0e-3
validation_px: 64
torch_threads: 1
"""


def test_a_checkpoint_and_a_line_for_every_epoch(call: Call, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    ended = call("train", tmp_path / "tiny.yaml", "--out", tmp_path / "run", "--json")
    assert ended.status == 0
    assert [line.split()[:2] for line in ended.err.splitlines()[:2]] == [["epoch", "0"], ["epoch", "1"]]
    assert load_model(ended.json["checkpoint"]).spec.system == "urec"
    assert 0 <= ended.json["test"]["mean_iou"] <= 1


def test_no_such_configuration(call: Call, tmp_path: Path) -> None:
    ended = call("train", "urec-mars", "--out", tmp_path / "run", "--data", tmp_path)
    assert_refused(ended, tmp_path, "there is no training configuration 'urec-mars': give the path")


def test_a_configuration_with_a_wrong_value(call: Call, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY.replace("epochs: 2", "epochs: -2"))
    ended = call("train", tmp_path / "tiny.yaml", "--out", tmp_path / "run")
    assert_refused(ended, tmp_path, "epochs: Input should be greater than 0 (got '-2')")


def test_data_that_are_not_there(call: Call, tmp_path: Path) -> None:
    ended = call("train", "urec-dubai", "--out", tmp_path / "run", "--data", tmp_path)
    assert_refused(ended, tmp_path, str(tmp_path / "dubai"))
