"""A folder of small products, among them scenes whose names come from somebody who means ill."""

from pathlib import Path

import pytest

from rsmtl.config import Settings
from rsmtl.dispatch import threads
from rsmtl.engine.product import write
from tests import fakes

EVIL = '<script>alert("1")</script>'
SCENES = ("plain", EVIL, "line\nbreak \u202e right to left")


@pytest.fixture(scope="session")
def products(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Products of `SCENES`, and one that was begun and given up."""
    out, model = tmp_path_factory.mktemp("products") / "Île & <b>", fakes.random_urec()
    settings = Settings(window=64, overlap=16, chunk=2)
    with threads(2) as executor:
        for k, scene_id in enumerate(SCENES):
            scene = fakes.make_scene(fakes.textured((3, 200, 260), seed=k), scene_id=scene_id)
            write(scene, model, out, settings, executor=executor)
        begun = write(fakes.make_scene(fakes.textured((3, 100, 100)), scene_id="begun"), model, out, settings)
    (begun.folder / "item.json").unlink()
    return out
