"""Every preset, narrower and on smaller patches, for two steps on a fake of its own data set."""

import json
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rsmtl.models import find_system, system_config
from rsmtl.training import TrainConfig, presets, read_config, train
from rsmtl.training.folder import LOG_NAME
from rsmtl.training.optimizer import lr_factor, make_optimizer, set_learning_rate
from tests.datasets.dstl_fake import write_fake_dstl
from tests.datasets.dubai_fake import write_fake_dubai
from tests.datasets.kampala_fake import write_fake_kampala
from tests.datasets.pan_ms_fake import write_fake_pan_ms
from tests.datasets.vaihingen_fake import write_fake_vaihingen

FAKES: dict[str, Callable[[Path], None]] = {
    "dstl": write_fake_dstl,
    "dubai": write_fake_dubai,
    "kampala": write_fake_kampala,
    "landscape": lambda folder: None,
    "pan_ms": write_fake_pan_ms,
    "vaihingen": write_fake_vaihingen,
}
NARROW: dict[str, dict[str, Any]] = {
    "panseg": {"width": 2},
    "urec": {"width": 2},
    "unet": {"width": 2},
    "dsrl": {"width": 2},
    "srseg": {"features": 4, "sr_width": 2, "n_stages": 2, "width": 2},
}


def small(name: str) -> TrainConfig:
    """A preset for a machine that has seconds: all but sizes is as it is, and what has other sizes begins fresh."""
    config = read_config(name)
    sampling = config.sampling.model_copy(update={"patch_px": 64})
    data = config.data
    if data.name == "landscape":
        data = data.model_copy(update={"n_train": 1, "n_validation": 1, "n_test": 1, "size_px": 64})
    changes = {
        "sampling": sampling,
        "batch": 2,
        "validation_px": 64,
        "torch_threads": 1,
        "data": data,
        "initial": None,
    }
    return config.model_copy(update={**changes, "model": {**config.model, **NARROW[config.system]}})


def test_every_paper_has_a_recipe() -> None:
    assert {"panseg-dstl", "urec-vaihingen", "unet-vaihingen", "srseg-vaihingen", "dsrl-kampala"} <= set(
        presets()
    )


@pytest.mark.parametrize("name", presets())
def test_two_steps(name: str, tmp_path: Path) -> None:
    config = small(name)
    FAKES[config.data.name](tmp_path / config.data.name)

    def stop_after_two(record: dict[str, Any]) -> None:
        if record["step"] == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", tmp_path, report=stop_after_two)
    lines = [json.loads(line) for line in (tmp_path / "run" / LOG_NAME).read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1]
    assert all(math.isfinite(value) for line in lines for value in line["loss"].values())
    terms = {term.name for term in find_system(config.system).terms(_config_of(config))}
    assert set(lines[0]["loss"]) == (set(config.loss) or terms)


def _config_of(config: TrainConfig) -> Any:
    system = find_system(config.system)
    return system_config(system, config.model)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("panseg-dstl", {"epochs": 40, "batch": 16, "patch": 256, "lr": 1e-3}),
        ("urec-vaihingen", {"epochs": 100, "batch": 14, "patch": 256, "lr": 1e-4}),
        ("srseg-vaihingen", {"epochs": 300, "batch": 1, "patch": 480, "lr": 1e-5}),
        ("srseg-vaihingen-code", {"epochs": 500, "batch": 1, "patch": 480, "lr": 1e-4}),
    ],
)
def test_published_values(name: str, values: dict[str, float]) -> None:
    config = read_config(name)
    assert {
        "epochs": config.epochs,
        "batch": config.batch,
        "patch": config.sampling.patch_px,
        "lr": config.optimizer.lr,
    } == values
    assert config.precision == "fp32"
    assert config.loss == {}  # the system's own, which are the published ones


def test_five_thousand_iterations_are_an_epoch_of_panseg() -> None:
    config = read_config("panseg-dstl")
    assert config.sampling.patches_per_epoch / config.batch == 5000


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("panseg-dstl", {1: 1e-3, 9: 1e-3, 10: 1e-4, 40: 1e-4}),
        ("srseg-vaihingen", {1: 1e-5, 150: 1e-5, 151: 1e-6, 300: 1e-6}),
        ("urec-vaihingen", {1: 1e-4, 100: 1e-4}),
    ],
)
def test_published_learning_rates(name: str, expected: dict[int, float]) -> None:
    config = read_config(name)
    for epoch, rate in expected.items():
        for step in ((epoch - 1) * 50, epoch * 50 - 1):
            factor = lr_factor(config, config.optimizer.decay_epochs, step, steps_per_epoch=50)
            assert config.optimizer.lr * factor == pytest.approx(rate)


def test_each_half_of_srseg_has_an_adam_of_its_own() -> None:
    config = small("srseg-vaihingen-code")
    system = find_system("srseg")
    optimizer = make_optimizer(config.optimizer, system.build(_config_of(config)))
    sr, segmentation = optimizer.param_groups
    assert (sr["weight_decay"], segmentation["weight_decay"]) == (0.0, 5e-4)
    assert (sr["betas"], segmentation["betas"]) == ((0.9, 0.999), (0.9, 0.99))
    set_learning_rate(optimizer, config, step=250 * 10, steps_per_epoch=10)
    assert sr["lr"] == pytest.approx(1e-5)
    assert segmentation["lr"] == pytest.approx(1e-4)
