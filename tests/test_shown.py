"""What objects show of themselves is short, and safe to put into a page."""

from pathlib import Path

import numpy as np
import pytest

from rsmtl.config import Settings
from rsmtl.engine.plan import plan
from rsmtl.engine.product import Product
from rsmtl.scene.scene import Scene, Storage
from rsmtl.shown import Shown
from tests import fakes

MODEL = fakes.random_urec(high=2047)
SCENE = Scene(
    id="<b>&scene",
    inputs={
        "image": fakes.make_input("image", np.ones((3, 300, 400), np.float32), Storage("uint16", nodata=0))
    },
    properties={"datetime": "2024-05-01T10:12:00Z"},
)
OBJECTS = {
    "Scene": (SCENE, ["2024-05-01T10:12:00Z", "300 × 400 px of 0.5 m", "EPSG:32632", "uint16, nodata 0"]),
    "SceneInput": (SCENE.inputs["image"], ["b0, b1, b2", "300 × 400 px of 0.5 m"]),
    "Model": (MODEL, ["urec", "6 classes", "parameters", MODEL.sha256[:12]]),
    "Plan": (
        plan(SCENE, MODEL, Settings(window=128, overlap=32), measure=False),
        ["12 of 128 px that overlap by 32 px", "segmentation"],
    ),
    "Product": (
        Product("<b>&scene", Path("out/scene"), False, 12, 12, 120_000, 3.25),
        ["out/scene", "12 run in 3.2 s", "0.1 Mpx"],
    ),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_few_facts_and_no_arrays(name: str) -> None:
    shown, said = OBJECTS[name]
    assert isinstance(shown, Shown)
    text, page = repr(shown), shown._repr_html_()
    assert text.startswith(f"<{name} ")
    assert len(text) < 500
    for one in said:
        assert one in text
        assert one in page
    assert "<b>&scene" not in page
    assert "array" not in text
    assert "Conv2d" not in text
