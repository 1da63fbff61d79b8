"""`standing` says yes where `write` would do nothing, and never where it would do something."""

import json
import os
from pathlib import Path

import pystac
import pytest

from rsmtl.config import Settings
from rsmtl.engine.classical import ModelFinder, model_finder
from rsmtl.engine.executor import SerialExecutor
from rsmtl.engine.product import Product, write
from rsmtl.engine.standing import standing, taken_up
from rsmtl.errors import ResumeError
from rsmtl.scene.open import open_scene
from rsmtl.store.place import place
from tests import fakes

SETTINGS = Settings(window=128, overlap=32)
ASSETS = ["red", "green", "blue"]


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fakes.random_checkpoint(tmp_path_factory.mktemp("model") / "random.safetensors")


@pytest.fixture(scope="module")
def find_model(model_path: Path) -> ModelFinder:
    return model_finder(str(model_path))


@pytest.fixture
def item(tmp_path: Path) -> Path:
    """An item whose file is not called as its id."""
    values = (fakes.textured((3, 150, 170)) * 2046 + 1).astype("uint16")
    fakes.write_tiff(tmp_path / "scene.tif", values)
    made = pystac.Item("S2/one", None, None, pystac.utils.str_to_datetime("2026-01-01T00:00:00Z"), {})
    made.add_asset("image", pystac.Asset("./scene.tif", roles=["data"]))
    (tmp_path / "any.json").write_text(json.dumps(made.to_dict(include_self_link=False)))
    return tmp_path / "any.json"


def made(item: Path, find_model: ModelFinder, settings: Settings = SETTINGS) -> Product:
    scene = open_scene(item)
    return write(scene, find_model(scene, settings, SerialExecutor()), item.parent / "out", settings)


def test_a_product_that_would_be_made_again_stands(item: Path, find_model: ModelFinder) -> None:
    assert standing(item.parent / "out", item, None, find_model, SETTINGS) is None
    product = made(item, find_model)
    folder, run = standing(item.parent / "out", item, None, find_model, SETTINGS)
    assert folder == product.folder
    assert run.windows_run == product.n_windows
    assert made(item, find_model).reused


@pytest.mark.parametrize(
    "settings",
    [
        Settings(window=128, overlap=48),
        Settings(window=128, overlap=32, chunk=2),
        Settings(window=128, overlap=32, extras=("confidence",)),
    ],
)
def test_other_settings_are_another_product(item: Path, find_model: ModelFinder, settings: Settings) -> None:
    made(item, find_model)
    assert standing(item.parent / "out", item, None, find_model, settings) is None


def test_a_chunk_that_was_named_is_the_same_if_named_again(item: Path, find_model: ModelFinder) -> None:
    named = SETTINGS.model_copy(update={"chunk": 2})
    made(item, find_model, named)
    assert standing(item.parent / "out", item, None, find_model, named)


def test_what_is_left_open_is_as_it_was(item: Path, find_model: ModelFinder) -> None:
    named = SETTINGS.model_copy(update={"chunk": 2, "batch": 2})
    made(item, find_model, named)
    for left_open in (Settings(), Settings(overlap=32), Settings(chunk=2)):
        assert standing(item.parent / "out", item, None, find_model, left_open)
        assert made(item, find_model, left_open).reused
    assert standing(item.parent / "out", item, None, find_model, Settings(batch=1)) is None


def test_a_run_is_taken_up_as_it_was_chosen(item: Path, find_model: ModelFinder) -> None:
    folder, scene = place(made(item, find_model, SETTINGS).folder), open_scene(item)
    model = find_model(scene, SETTINGS, SerialExecutor())
    assert taken_up(Settings(overlap=32), folder, model) == SETTINGS.model_copy(
        update={"margin": 0, "chunk": 1, "batch": 1}
    )
    for other in (Settings(window=256), Settings(tta="rotations")):
        assert taken_up(other, folder, model) is other
    assert taken_up(SETTINGS, folder, fakes.identity()) is SETTINGS
    assert taken_up(SETTINGS, folder / "nothing", model) is SETTINGS


@pytest.mark.parametrize("damaged", [0, None, "wide", {}])
def test_a_damaged_fingerprint_is_left_to_who_takes_up_the_run(
    item: Path, find_model: ModelFinder, damaged: object
) -> None:
    folder, scene = place(made(item, find_model, SETTINGS).folder), open_scene(item)
    path = folder / "ledger" / "fingerprint.json"
    told = json.loads(path.read_text())
    model = find_model(scene, SETTINGS, SerialExecutor())
    for settings in (damaged, {**told["settings"], "window": damaged}):
        path.write_text(json.dumps({**told, "settings": settings}))
        assert taken_up(Settings(overlap=32), folder, model).window is None
    with pytest.raises(ResumeError, match=r"settings\.window was"):
        made(item, find_model, Settings(overlap=32))


def test_other_assets_weights_or_files_are_another_product(item: Path, find_model, tmp_path: Path) -> None:
    made(item, find_model)
    out = tmp_path / "out"
    assert standing(out, item, ["image:1", "image:2", "image:3"], find_model, SETTINGS) is None
    other = model_finder(str(fakes.random_checkpoint(tmp_path / "other.safetensors", seed=3)))
    assert standing(out, item, None, other, SETTINGS) is None
    assert standing(out, item, None, model_finder("brovey"), SETTINGS) is None
    os.utime(tmp_path / "scene.tif", ns=(1, 1))
    assert standing(out, item, None, find_model, SETTINGS) is None


@pytest.mark.parametrize("gone", ["item.json", "run.json"])
def test_half_a_product_does_not_stand(item: Path, find_model: ModelFinder, gone: str) -> None:
    (Path(made(item, find_model).folder) / gone).unlink()
    assert standing(item.parent / "out", item, None, find_model, SETTINGS) is None


def test_a_source_that_cannot_be_read_is_left_to_who_opens_it(item: Path, find_model: ModelFinder) -> None:
    made(item, find_model)
    item.write_text("{")
    assert standing(item.parent / "out", item, None, find_model, SETTINGS) is None


def test_a_method_that_is_fitted_to_the_scene_is_known_by_its_name(tmp_path: Path) -> None:
    files = {"pan": tmp_path / "pan.tif", "ms": tmp_path / "ms.tif"}
    for path, bands in zip(files.values(), (1, 3), strict=True):
        fakes.write_tiff(path, (fakes.textured((bands, 160, 160)) * 1000).astype("uint16"))
    finder, settings = model_finder("gsa"), Settings(window=128, overlap=32)
    scene = open_scene(files)
    write(scene, finder(scene, settings, SerialExecutor()), tmp_path / "out", settings)
    assert standing(tmp_path / "out", files, None, finder, settings)
    assert standing(tmp_path / "out", files, None, model_finder("brovey"), settings) is None
