"""What a training leaves, that it is the same each time, that it can be taken up at any step, and what it refuses."""

import json
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from rsmtl.errors import InputError, ModelError, RunError
from rsmtl.models import load_model, read_card
from rsmtl.training import TrainConfig, train
from rsmtl.training.folder import LOG_NAME, MODEL_NAME, STATE_NAME
from rsmtl.training.train import build, open_data
from tests.datasets.dubai_fake import write_fake_dubai
from tests.training.configs import tiny

Record = dict[str, Any]

PAIR = {"name": "landscape", "n_train": 1, "n_validation": 1, "n_test": 1, "size_px": 64, "pair": True}
"""Landscapes in PAN, MS and HRMS."""


def lines(out: Path, kind: str) -> list[Record]:
    found = [json.loads(line) for line in (out / LOG_NAME).read_text().splitlines()]
    return [line for line in found if line["kind"] == kind]


def losses(out: Path) -> list[dict[str, float]]:
    return [line["loss"] for line in lines(out, "step")]


def tensors(out: Path) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in load_file(out / STATE_NAME).items()}


def interrupting(at: int, number: int = signal.SIGINT) -> Callable[[Record], None]:
    """Return a report that sends this process a signal after so many steps in all."""
    seen: list[Record] = []

    def report(record: Record) -> None:
        seen.append(record)
        if len([one for one in seen if one["kind"] == "step"]) == at and record["kind"] == "step":
            os.kill(os.getpid(), number)

    return report


def test_what_a_training_leaves(tmp_path: Path) -> None:
    write_fake_dubai(tmp_path / "dubai")
    config = tiny(data={"name": "dubai"}, sampling={"patch_px": 32, "patches_per_epoch": 12}, storage="fp16")
    reported: list[Record] = []
    path = train(config, tmp_path / "run", tmp_path, report=reported.append)
    assert path == tmp_path / "run" / MODEL_NAME
    left = {p.name for p in path.parent.iterdir()}
    assert left == {
        *("config.yaml", "log.jsonl", "state.safetensors", "best.safetensors", "model.safetensors"),
        *("pictures", "tensorboard"),
    }
    assert [p.name for p in sorted((path.parent / "pictures").iterdir())] == [
        "epoch-0000.png",
        "epoch-0001.png",
    ]
    assert [json.loads(line) for line in (path.parent / LOG_NAME).read_text().splitlines()] == reported
    epochs = lines(path.parent, "epoch")
    assert [line["epoch"] for line in epochs] == [0, 1]
    assert set(epochs[0]["loss"]) == {"segmentation", "reconstruction"}
    assert {"images_per_s", "waiting", "lr"} <= set(lines(path.parent, "step")[0])
    card = read_card(path)
    best = max(epochs, key=lambda line: line["validation"]["segmentation"]["mean_iou"])
    assert card.training["epoch"] == best["epoch"]
    assert card.training["config"]["model"] == {"width": 2}
    assert 0 <= card.training["test"]["segmentation"]["mean_iou"] <= 1
    model = load_model(path)
    assert model.spec.head("segmentation").classes[0].name == "building"
    assert model.spec.input("image").radiometry.high == (255.0,)
    assert model.spec.gsd_m == 0.7
    assert [head.name for head in model.spec.heads if head.product] == ["segmentation"]


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    torch.rand(3)  # what happened before must not matter
    first = train(tiny(epochs=1), tmp_path / "a", tmp_path).read_bytes()
    torch.rand(7)
    second = train(tiny(epochs=1), tmp_path / "b", tmp_path).read_bytes()
    other = train(tiny(epochs=1, seed=1), tmp_path / "c", tmp_path).read_bytes()
    assert first == second
    assert first != other


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of 16 steps in two epochs that nobody interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    return train(tiny(ema=0.9), folder, folder)


@pytest.mark.xdist_group("interrupted trainings")
@pytest.mark.parametrize("at", [1, 5, 8, 9, 15])
def test_interrupted_and_resumed_is_uninterrupted(tmp_path: Path, whole: Path, at: int) -> None:
    """Step 8 is the last of an epoch."""
    config = tiny(ema=0.9)
    with pytest.raises(
        KeyboardInterrupt, match=r"the training was stopped after step \d of epoch \d; go on with"
    ):
        train(config, tmp_path / "run", tmp_path, report=interrupting(at))
    assert len(losses(tmp_path / "run")) == at
    path = train(config, tmp_path / "run", tmp_path, resume=True)
    assert path.read_bytes() == whole.read_bytes()
    assert tensors(tmp_path / "run") == tensors(whole.parent)
    assert losses(tmp_path / "run") == losses(whole.parent)


def test_sigterm_is_a_run_error_and_leaves_a_state(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="the training was stopped after step 3 of epoch 0"):
        train(tiny(), tmp_path / "run", tmp_path, report=interrupting(3, signal.SIGTERM))
    assert (tmp_path / "run" / STATE_NAME).exists()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_what_was_logged_after_the_last_checkpoint_is_cut_off(tmp_path: Path) -> None:
    """A process that is killed leaves lines of steps that will be taken again."""
    config = tiny(epochs=1)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", tmp_path, report=interrupting(3))
    with (tmp_path / "run" / LOG_NAME).open("a") as log:
        log.write('{"kind": "step", "epoch": 0, "step": 3, "loss": {"segmentation": 99}}\n{"kind": "st')
    train(config, tmp_path / "run", tmp_path, resume=True)
    assert [line["step"] for line in lines(tmp_path / "run", "step")] == list(range(8))
    assert all(one["segmentation"] < 10 for one in losses(tmp_path / "run"))


def test_resuming_what_is_finished_changes_nothing(tmp_path: Path) -> None:
    path = train(tiny(epochs=1), tmp_path / "run", tmp_path)
    before = path.read_bytes(), losses(path.parent)
    train(tiny(epochs=1), tmp_path / "run", tmp_path, resume=True)
    assert (path.read_bytes(), losses(path.parent)) == before


def test_a_state_of_another_configuration_or_damaged(tmp_path: Path) -> None:
    train(tiny(epochs=1), tmp_path / "run", tmp_path)
    before = (tmp_path / "run" / "config.yaml").read_bytes()
    with pytest.raises(
        InputError, match=r"holds a training with another configuration than this one .*: go on with"
    ):
        train(tiny(epochs=2), tmp_path / "run", tmp_path, resume=True)
    assert (tmp_path / "run" / "config.yaml").read_bytes() == before
    state = tmp_path / "run" / STATE_NAME
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"is not the state of a training, or it is damaged"):
        train(tiny(epochs=1), tmp_path / "run", tmp_path, resume=True)


def test_micro_batches_are_one_batch(tmp_path: Path) -> None:
    """Without batch normalisation, gradients that are added up are those of the whole batch."""
    config = {"system": "pannet", "model": {}, "data": PAIR, "epochs": 1}
    train(tiny(**config), tmp_path / "whole", tmp_path)
    train(tiny(**config, micro_batch=2), tmp_path / "parts", tmp_path)
    for a, b in zip(losses(tmp_path / "whole"), losses(tmp_path / "parts"), strict=True):
        assert a["hrms"] == pytest.approx(b["hrms"], rel=1e-5)


def test_patience_ends_a_training_that_gets_no_better(tmp_path: Path) -> None:
    """With steps of next to nothing, and no statistics to settle, no epoch is better than the first."""
    config = tiny(
        system="pannet",
        model={},
        data=PAIR,
        epochs=9,
        patience=2,
        optimizer={"name": "adamw", "lr": 1e-30, "clip_norm": 1e-3},
    )
    train(config, tmp_path / "run", tmp_path)
    scores = [line["score"] for line in lines(tmp_path / "run", "epoch")]
    assert scores == [scores[0]] * 3


def test_the_average_is_what_is_kept(tmp_path: Path) -> None:
    """An average that hardly moves keeps the first weights; without one the last are kept."""
    slow = load_file(train(tiny(epochs=1, ema=0.999999), tmp_path / "a", tmp_path))
    last = load_file(train(tiny(epochs=1), tmp_path / "b", tmp_path))
    first = load_file(tmp_path / "a" / STATE_NAME)
    weight = "encoder.levels.0.0.0.weight"
    assert torch.equal(slow[weight], first[f"average/module.{weight}"])
    assert torch.equal(first[f"module/{weight}"], last[weight])
    assert not torch.allclose(slow[weight], last[weight], atol=1e-4)


def test_class_weights_change_the_loss_and_nothing_else(tmp_path: Path) -> None:
    write_fake_dubai(tmp_path / "dubai")
    train(tiny(epochs=1, data={"name": "dubai"}), tmp_path / "a", tmp_path)
    train(tiny(epochs=1, data={"name": "dubai"}, class_weights={"building": 20.0}), tmp_path / "b", tmp_path)
    first, weighted = losses(tmp_path / "a")[0], losses(tmp_path / "b")[0]
    assert first["reconstruction"] == weighted["reconstruction"]
    assert first["segmentation"] != weighted["segmentation"]


@pytest.mark.slow
def test_it_learns(tmp_path: Path) -> None:
    """The fake's colours are its classes: seconds of training must tell them apart."""
    write_fake_dubai(tmp_path / "dubai")
    config = tiny(
        model={"width": 4},
        data={"name": "dubai"},
        sampling={"patch_px": 32, "patches_per_epoch": 160},
        epochs=10,
        batch=8,
        optimizer={"lr": 1e-2},
    )
    path = train(config, tmp_path / "run", tmp_path)
    found = lines(path.parent, "epoch")
    assert found[-1]["loss"]["segmentation"] < 0.3 * found[0]["loss"]["segmentation"]
    assert read_card(path).training["test"]["segmentation"]["overall_accuracy"] > 0.95


def test_unet_and_bf16(tmp_path: Path) -> None:
    path = train(tiny(system="unet", precision="bf16", epochs=1), tmp_path / "run", tmp_path)
    assert load_model(path).spec.system == "unet"


def test_loss_that_is_not_finite_stops_with_step_terms_and_patches(tmp_path: Path) -> None:
    with pytest.raises(
        RunError,
        match=r"the loss is not finite in step \d of epoch 0: segmentation \S+, reconstruction \S+; its patches are "
        r"landscape 1000000 rows \d+:\d+ columns \d+:\d+; .*lower the learning rate or look at these data",
    ):
        train(tiny(optimizer={"lr": 1e30}), tmp_path / "run", tmp_path)


def test_folder_of_another_training(tmp_path: Path) -> None:
    (tmp_path / LOG_NAME).write_text("{}\n")
    with pytest.raises(
        InputError, match=r"holds another training \(log\.jsonl\): choose another folder, or go on"
    ):
        train(tiny(), tmp_path, tmp_path)


@pytest.mark.parametrize("name", ["log.jsonl", "state.safetensors", "model.safetensors", "config.yaml"])
@pytest.mark.parametrize("resume", [False, True])
def test_files_of_somebody_else_are_kept(tmp_path: Path, name: str, resume: bool) -> None:
    (tmp_path / name).write_text("precious")
    with pytest.raises(InputError, match="holds a"):
        train(tiny(), tmp_path, tmp_path, resume=resume)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "precious")]


def test_a_batch_that_cannot_be_normalised(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"the model cannot be trained on batches of this size \(.*\): make the batch"
    ):
        train(tiny(batch=1), tmp_path / "run", tmp_path)


@pytest.mark.parametrize("most_bytes", [300, 3000, 30_000])
def test_a_full_disk_is_a_sentence(tmp_path: Path, most_bytes: int) -> None:
    """Files that may not grow fail as those on a full disk do."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        with pytest.raises(RunError, match=r"cannot write .*: File too large"):
            train(tiny(), tmp_path / "run", tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot make the folder .*file"):
        train(tiny(), tmp_path / "file", tmp_path)


@pytest.mark.parametrize(
    ("changed", "error", "sentence"),
    [
        ({"system": "resnet"}, ModelError, "there is no system 'resnet'"),
        (
            {"sampling": {"patch_px": 40}},
            InputError,
            r"urec needs edges that are multiples of 32: got sampling\.patch_px 40",
        ),
        ({"validation_px": 40}, InputError, "multiples of 32: got validation_px 40"),
        (
            {"loss": {"sr": 1.0}},
            InputError,
            "there is no loss term 'sr' for this model: use one of segmentation, rec",
        ),
        ({"class_weights": {"lava": 2.0}}, InputError, "there is no class 'lava' for this model: use one of"),
        (
            {"optimizer": {"lr": 1e-3, "parts": {"tail": {"lr": 1e-4}}}},
            InputError,
            r"the model has no part 'tail' for `optimizer\.parts`: its parts are encoder",
        ),
        (
            {"data": PAIR},
            InputError,
            "urec needs image at scale 1, but landscape 1000000 has pan at scale 1, ms at",
        ),
        (
            {"system": "panseg"},
            InputError,
            "panseg needs pan at scale 1, but landscape 1000000 has image at scale 1",
        ),
        (
            {"wald": True},
            InputError,
            "Wald's protocol needs the layers pan and ms, landscape 1000000 has image",
        ),
        (
            {"system": "fusenet", "model": {}, "data": PAIR, "class_weights": {"water": 2.0}},
            InputError,
            "class weights need a cross-entropy, and this system's loss has none",
        ),
    ],
)
def test_wrong_configurations(tmp_path: Path, changed: Record, error: type[Exception], sentence: str) -> None:
    values = {"model": {}, **changed} if "system" in changed else changed
    with pytest.raises(error, match=sentence):
        train(tiny(**values), tmp_path / "run", tmp_path)
    assert not (tmp_path / "run").exists()


def test_no_data(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there are no images in .*nowhere/dubai/tile1"):
        train("urec-dubai", tmp_path / "run", tmp_path / "nowhere")


def test_a_configuration_written_down_is_the_configuration(tmp_path: Path) -> None:
    from rsmtl.training import read_config

    config: TrainConfig = tiny(epochs=1, class_weights={"water": 2.0})
    train(config, tmp_path / "run", tmp_path)
    assert read_config(tmp_path / "run" / "config.yaml") == config


def test_a_training_begins_with_what_another_left(tmp_path: Path) -> None:
    """Layers of the same shape go on; the last one, of other classes, begins fresh."""
    first = train(tiny(epochs=1), tmp_path / "first", tmp_path)
    write_fake_dubai(tmp_path / "dubai")
    config = tiny(data={"name": "dubai"}, initial=str(first), epochs=1)
    module, task = build(config, open_data(config, tmp_path))
    begun, before = module.state_dict(), load_model(first).module.state_dict()
    differing = {name for name, value in begun.items() if not torch.equal(value, before[name])}
    assert differing == {"segmentation_head.weight", "segmentation_head.bias"}
    assert begun["segmentation_head.weight"].shape[0] == 5
    assert task.card.training["config"]["initial"] == str(first)


def test_what_a_training_cannot_begin_with(tmp_path: Path) -> None:
    left = train(tiny(epochs=1), tmp_path / "first", tmp_path)
    for changed, sentence in (
        ({"system": "unet"}, "the training of a unet cannot begin with .*, which is a urec: name"),
        (
            {"model": {"width": 3}},
            "nothing of .* fits this urec: give `model` the configuration .*'width': 2",
        ),
    ):
        with pytest.raises(InputError, match=sentence):
            train(tiny(initial=str(left), **changed), tmp_path / "second", tmp_path)
    with pytest.raises(ModelError, match="nowhere"):
        train(tiny(initial="nowhere.safetensors"), tmp_path / "second", tmp_path)
    assert not (tmp_path / "second").exists()


def test_the_last_epoch_is_kept_where_the_configuration_says_so(tmp_path: Path) -> None:
    """Whatever its score."""
    config = tiny(optimizer={"lr": 1e-3}, epochs=3, keep="last")
    path = train(config, tmp_path / "run", tmp_path)
    assert read_card(path).training["epoch"] == 2
    last = lines(path.parent, "epoch")[-1]["validation"]["segmentation"]
    assert read_card(path.parent / "best.safetensors").training["validation"]["segmentation"] == last
