"""`rsmtl demo`: what the README's first command leaves; its full size runs with the README's own block."""

from pathlib import Path

import pytest

from rsmtl import demo
from rsmtl.demo import N_SCENES
from tests.cli.conftest import Call


def test_products_picture_and_a_figure(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "SIZE_PX", 300)
    ended = call("demo", "--out", tmp_path, "--json")
    assert ended.status == 0, ended.err
    assert len(list((tmp_path / "products").glob("*/item.json"))) == N_SCENES
    assert Path(ended.json["picture"]).stat().st_size > 10_000
    assert (
        0.4 < ended.json["mean_iou"] <= 1
    )  # far above a map of one class; the figure itself is in the model card
    assert f"mean IoU {ended.json['mean_iou']:.3f}" in ended.err
    again = call("demo", "--out", tmp_path, "--json")
    assert {found["result"] for found in again.json["scenes"]} == {"stood already"}
    assert again.json["mean_iou"] == ended.json["mean_iou"]
