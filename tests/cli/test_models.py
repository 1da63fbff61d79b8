"""`rsmtl models`: what there is to run, and what can be trained."""

import pytest

from rsmtl.models import SYSTEMS, load_model, shipped_models
from tests.cli.conftest import Call


def test_all_systems_in_their_published_size(call: Call) -> None:
    ended = call("models", "--json")
    found = {system["name"]: system for system in ended.json["systems"]}
    assert set(found) == set(SYSTEMS)
    assert found["urec"]["parameters"] == 25_062_729
    assert [head["name"] for head in found["urec"]["heads"]] == ["segmentation", "reconstruction"]
    assert found["urec"]["window_divisor"] == 32


def test_all_models_that_come_with_the_package(call: Call) -> None:
    found = {model["name"]: model for model in call("models", "--json").json["models"]}
    assert set(found) == set(shipped_models())
    for name, model in found.items():
        parameters = sum(p.numel() for p in load_model(name).module.parameters())
        assert model["parameters"] == parameters
        assert 0.3 < model["mean_iou_test"] < 1


@pytest.mark.parametrize("columns", ["80", "120"])
def test_the_tables_fit_the_terminal(call: Call, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    shown = call("models").out
    assert "25,062,729" in shown
    assert max(map(len, shown.splitlines())) <= int(columns)
