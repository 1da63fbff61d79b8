"""`rsmtl models margin` measures a model, and writes it again with what it found."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from rsmtl.models import load_model, read_card, save_exported, shipped_models
from tests import fakes
from tests.cli.conftest import Call


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    values = (fakes.textured((3, 320, 340)) * 255).astype(np.uint8)
    return fakes.write_tiff(tmp_path / "scene.tif", values)


def test_a_checkpoint_gets_its_margins_and_keeps_its_weights(call: Call, scene: Path, tmp_path: Path) -> None:
    model = fakes.random_checkpoint(tmp_path / "small.safetensors", high=255.0)
    saved = tmp_path / "measured.safetensors"
    ended = call("models", "margin", str(model), str(scene), "--save", str(saved), "--json")
    assert (ended.status, ended.json["command"]) == (0, "models")
    before, after = (safetensors.torch.load(path.read_bytes()) for path in (model, saved))
    assert all(torch.equal(before[name], after[name]) for name in before)
    measured = load_model(saved).measured
    assert set(measured.edges) == {"segmentation", "reconstruction"} == set(ended.json["margins"])
    assert read_card(saved).measured == measured
    assert read_card(saved).training == read_card(model).training


def test_a_program_gets_its_margins(call: Call, scene: Path, tmp_path: Path) -> None:
    model = load_model(fakes.random_checkpoint(tmp_path / "small.safetensors", high=255.0))
    program, saved = tmp_path / "small.pt2", tmp_path / "measured.pt2"
    save_exported(program, model.module, model.spec, window=128, batch=2)
    assert call("models", "margin", str(program), str(scene), "--save", str(saved)).status == 0
    found = load_model(saved)
    assert found.measured.edges["segmentation"].window == 128
    image = torch.rand(2, 3, 128, 128)
    for name, values in load_model(program).module(image).items():
        torch.testing.assert_close(found.module(image)[name], values, rtol=0, atol=0)


@pytest.mark.parametrize("words", [(), ("SCENE", "--data", "DATA")])
def test_it_takes_scenes_or_data(call: Call, words: tuple[str, ...]) -> None:
    ended = call("models", "margin", "urec-dubai", *words)
    assert ended.status == 2
    assert "one of them" in ended.err


def test_shipped_models_have_margins(call: Call) -> None:
    for name in shipped_models():
        model = load_model(name)
        assert all(head.margin is not None for head in model.spec.heads), name
        assert {head.name: head.margin for head in model.spec.heads} == {
            head: edge.margin for head, edge in model.measured.edges.items()
        }
    assert "margin" in call("models").out
