"""`rsmtl demo`: what the README's first command leaves."""

from pathlib import Path

import pytest

from rsmtl.demo import N_SCENES
from tests.cli.conftest import spawn


@pytest.mark.slow
def test_products_picture_and_a_figure(tmp_path: Path) -> None:
    ended = spawn("demo", "--out", tmp_path, "--json")
    assert ended.status == 0, ended.err
    assert len(list((tmp_path / "products").glob("*/item.json"))) == N_SCENES
    assert Path(ended.json["picture"]).stat().st_size > 10_000
    assert (
        0.4 < ended.json["mean_iou"] <= 1
    )  # far above a map of one class; the figure itself is in the model card
    assert f"mean IoU {ended.json['mean_iou']:.3f}" in ended.err
    again = spawn("demo", "--out", tmp_path, "--json")
    assert {found["result"] for found in again.json["scenes"]} == {"stood already"}
    assert again.json["mean_iou"] == ended.json["mean_iou"]
