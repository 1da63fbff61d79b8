import json
from pathlib import Path
from typing import Any

import pytest
import torch

from rsmtl.datasets import DubaiData, Sampling
from rsmtl.errors import InputError, ModelError, RunError
from rsmtl.models import load_model, read_card
from rsmtl.training import TrainConfig, train
from rsmtl.training.loop import lr_factor
from tests.datasets.dubai_fake import write_fake_dubai

CONFIG = TrainConfig(
    system="urec",
    model={"width": 4},
    data=DubaiData(),
    sampling=Sampling(patch_px=32, patches_per_epoch=24, jitter=0.1),
    loss={"segmentation": 0.9, "reconstruction": 0.1},
    epochs=2,
    batch=8,
    lr=3e-3,
    schedule="cosine",
    validation_px=64,
    storage="fp16",
    torch_threads=1,
)


def changed(**values: Any) -> TrainConfig:
    return CONFIG.model_copy(update=values)


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_fake_dubai(root / "dubai")
    return root


def test_what_a_training_leaves(data_root: Path, tmp_path: Path):
    reported: list[dict[str, Any]] = []
    path = train(CONFIG, tmp_path / "run", data_root, report=reported.append)
    assert path == tmp_path / "run" / "model.safetensors"
    assert {p.name for p in path.parent.iterdir()} == {"log.jsonl", "best.safetensors", "model.safetensors"}
    log = [json.loads(line) for line in (path.parent / "log.jsonl").read_text().splitlines()]
    assert log == reported
    assert [line["epoch"] for line in log] == [0, 1]
    assert set(log[0]["loss"]) == {"segmentation", "reconstruction"}
    card = read_card(path)
    best = max(log, key=lambda line: line["validation"]["mean_iou"])
    assert card.training["epoch"] == best["epoch"]
    assert card.training["config"]["model"] == {"width": 4}
    assert 0 <= card.training["test"]["mean_iou"] <= 1
    model = load_model(path)
    assert model.spec.head("segmentation").classes[0].name == "building"
    assert model.spec.input("image").radiometry.high == (255.0,)


def test_same_seed_same_bytes(data_root: Path, tmp_path: Path):
    torch.rand(3)  # what happened before must not matter
    first = train(changed(epochs=1), tmp_path / "a", data_root).read_bytes()
    torch.rand(7)
    second = train(changed(epochs=1), tmp_path / "b", data_root).read_bytes()
    other = train(changed(epochs=1, seed=1), tmp_path / "c", data_root).read_bytes()
    assert first == second
    assert first != other


@pytest.mark.slow
def test_it_learns(data_root: Path, tmp_path: Path):
    """The fake's colours are its classes: seconds of training must tell them apart."""
    config = changed(epochs=10, sampling=Sampling(patch_px=32, patches_per_epoch=160), lr=1e-2)
    path = train(config, tmp_path / "run", data_root)
    log = [json.loads(line) for line in (path.parent / "log.jsonl").read_text().splitlines()]
    assert log[-1]["loss"]["segmentation"] < 0.3 * log[0]["loss"]["segmentation"]
    assert read_card(path).training["test"]["overall_accuracy"] > 0.95


def test_unet_and_bf16(data_root: Path, tmp_path: Path):
    config = changed(system="unet", loss={"segmentation": 1.0}, precision="bf16", epochs=1)
    assert load_model(train(config, tmp_path / "run", data_root)).spec.system == "unet"


def test_loss_that_is_not_finite_stops_with_step_and_terms(data_root: Path, tmp_path: Path):
    with pytest.raises(
        RunError, match=r"the loss is not finite in step \d of epoch 0: segmentation \S+, recon"
    ):
        train(changed(lr=1e30), tmp_path / "run", data_root)


def test_folder_of_another_training(data_root: Path, tmp_path: Path):
    (tmp_path / "log.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match=r"holds another training \(log\.jsonl\): choose another folder"):
        train(CONFIG, tmp_path, data_root)


def test_folder_that_is_a_file(data_root: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot make the folder .*file"):
        train(CONFIG, tmp_path / "file", data_root)


def test_wrong_configurations(data_root: Path, tmp_path: Path):
    with pytest.raises(ModelError, match="there is no system 'resnet'"):
        train(changed(system="resnet"), tmp_path, data_root)
    with pytest.raises(
        InputError, match=r"urec needs edges that are multiples of 32: got sampling\.patch_px 40"
    ):
        train(changed(sampling=Sampling(patch_px=40)), tmp_path, data_root)
    with pytest.raises(InputError, match="no loss term 'sr' for this model: use one of segmentation, recon"):
        train(changed(loss={"sr": 1.0}), tmp_path, data_root)
    assert list(tmp_path.iterdir()) == []


def test_no_data(tmp_path: Path):
    with pytest.raises(InputError, match=r"there are no images in .*nowhere/dubai/tile1"):
        train("urec-dubai", tmp_path / "run", tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("lr", "decay_epochs", "expected"),
    [
        (1e-3, (10,), {1: 1e-3, 9: 1e-3, 10: 1e-4, 40: 1e-4}),  # panseg
        (1e-5, (151,), {1: 1e-5, 150: 1e-5, 151: 1e-6, 300: 1e-6}),  # srseg
        (1e-4, (), {1: 1e-4, 100: 1e-4}),  # urec
    ],
)
def test_published_learning_rates(lr: float, decay_epochs: tuple[int, ...], expected: dict[int, float]):
    config = changed(lr=lr, decay_epochs=decay_epochs, schedule="constant")
    for epoch, rate in expected.items():
        for step in ((epoch - 1) * 50, epoch * 50 - 1):
            assert config.lr * lr_factor(config, step, steps_per_epoch=50) == pytest.approx(rate)
