"""What the command line says of heads, of GSDs, of values and of assets."""

import json
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from rsmtl.models import HeadSpec, ValueSpec
from rsmtl.models.exported import save_exported
from tests import fakes
from tests.cli.conftest import SMALL, Call, assert_refused
from tests.engine.test_heads import Scaled
from tests.scene.rasters import asset, image, write_item, write_raster

LANDSAT = Affine(300, 0, 5e5, 0, -300, 5e6)


@pytest.fixture
def fine_model(tmp_path: Path) -> Path:
    """Trained at 10 m, as the rasters of these tests have it."""
    return fakes.random_checkpoint(tmp_path / "fine.safetensors", gsd_m=10.0)


def test_heads_are_chosen_by_name(call: Call, scene: Path, model: Path, tmp_path: Path) -> None:
    ended = call("predict", scene, "--model", model, "--out", tmp_path / "one", *SMALL)
    assert ended.status == 0
    assert [path.name for path in (tmp_path / "one" / "scene").glob("*.tif")] == ["segmentation.tif"]
    both = ("--heads", "segmentation,reconstruction")
    assert call("predict", scene, "--model", model, "--out", tmp_path / "two", *SMALL, *both).status == 0
    folder = tmp_path / "two" / "scene"
    assert {path.stem for path in folder.glob("*.tif")} == {"segmentation", "reconstruction"}
    assert (folder / "segmentation.tif").read_bytes() == (
        tmp_path / "one" / "scene" / "segmentation.tif"
    ).read_bytes()


def test_an_unknown_head_is_refused(call: Call, scene: Path, model: Path, tmp_path: Path) -> None:
    ended = call("predict", scene, "--model", model, "--out", tmp_path / "out", *SMALL, "--heads", "roofs")
    assert_refused(ended, tmp_path / "out", "has no head 'roofs': its heads are segmentation, reconstruction")


@pytest.mark.parametrize("command", ["plan", "predict"])
def test_a_scene_of_300_m_is_refused_unless_told(
    call: Call, fine_model: Path, tmp_path: Path, command: str
) -> None:
    path = write_raster(tmp_path / "coarse.tif", image(3, 100, 90), LANDSAT)
    words = [command, path, "--model", fine_model, *SMALL]
    words += ["--out", tmp_path / "out"] if command == "predict" else []
    ended = call(*words)
    assert_refused(
        ended, tmp_path, "has a GSD of 300 m, 30 times coarser than the 10 m that the model was trained at"
    )
    assert "run it all the same with `--any-gsd`" in ended.err
    assert call(*words, "--any-gsd").status == 0


def test_degrees_are_taken_as_what_they_are_on_the_ground(
    call: Call, fine_model: Path, tmp_path: Path
) -> None:
    ten_metres = Affine(1.8e-4, 0, 10, 0, -9e-5, 60)  # at 60° N a degree of longitude is half as long
    path = write_raster(tmp_path / "degrees.tif", image(3, 100, 90), ten_metres, "EPSG:4326")
    assert call("plan", path, "--model", fine_model, *SMALL).status == 0
    path = write_raster(
        tmp_path / "far.tif", image(3, 100, 90), Affine(3e-3, 0, 10, 0, -3e-3, 60), "EPSG:4326"
    )
    assert "times coarser than the 10 m" in call("plan", path, "--model", fine_model, *SMALL).err


@pytest.mark.parametrize("command", ["plan", "predict"])
def test_values_outside_the_radiometry_are_told_in_one_sentence(
    call: Call, model: Path, tmp_path: Path, command: str
) -> None:
    path = write_raster(tmp_path / "bright.tif", image(3, 100, 90).astype("u2") % 1000 + 9000)
    words = [command, path, "--model", model, *SMALL, "--json"]
    words += ["--out", tmp_path / "out"] if command == "predict" else []
    ended = call(*words)
    assert ended.status == 0
    told = [line for line in ended.err.splitlines() if "lie outside" in line]
    assert len(told) == 1
    assert told[0].startswith(
        "bright: 100% of the pixels of input 'image' of scene 'bright' lie outside the 0 to 2,047"
    )
    assert ended.json["scenes"][0]["notes"] == [told[0].removeprefix("bright: ")]


def item_with_a_preview(folder: Path, preview: tuple[str, ...]) -> Path:
    write_raster(folder / "analytic.tif", image(4, 100, 90), names=("blue", "green", "red", "nir"))
    write_raster(
        folder / "visual.tif", image(3, 100, 90).astype("uint8"), names=preview, photometric="minisblack"
    )
    return write_item(folder, {"analytic": asset("analytic.tif"), "visual": asset("visual.tif", ("visual",))})


def test_of_several_assets_none_is_taken_without_a_word(call: Call, tmp_path: Path) -> None:
    words = ["predict", "--model", "urec-landscape", "--any-gsd", *SMALL]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    unnamed = item_with_a_preview(tmp_path / "a", ())
    ended = call(*words, unnamed, "--out", tmp_path / "out")
    assert_refused(ended, tmp_path, "'visual' (3 bands: 1, 2, 3): say which to take with `--assets`, by name")
    assert (
        call(
            *words, unnamed, "--out", tmp_path / "out", "--assets", "analytic:3,analytic:2,analytic:1"
        ).status
        == 0
    )
    named = item_with_a_preview(tmp_path / "b", ("red", "green", "blue"))
    ended = call(*words, named, "--out", tmp_path / "named", "--json")
    assert ended.status == 0
    assert (
        "'visual' is taken, as its bands are red, green, blue: take another one with `--assets`" in ended.err
    )
    assert len(ended.json["scenes"][0]["notes"]) == 1


def test_heights_of_a_model_of_ones_own_are_in_metres(call: Call, tmp_path: Path) -> None:
    head = HeadSpec(
        name="height",
        channels=1,
        kind="continuous",
        values=ValueSpec(unit="m", dtype="int16", scale=0.01),
    )
    made = fakes.one_input_model(Scaled("height", 4.0, -3.7), 1, head, high=1000.0)
    save_exported(tmp_path / "height.pt2", made.module, made.spec, window=64)
    dn = (fakes.textured((1, 100, 90)) * 1000).astype(np.uint16)
    path = write_raster(tmp_path / "dn.tif", dn)
    ended = call("predict", path, "--model", tmp_path / "height.pt2", "--out", tmp_path / "out", *SMALL)
    assert ended.status == 0, ended.err
    item = json.loads((tmp_path / "out" / "dn" / "item.json").read_text())
    assert item["assets"]["height"]["bands"][0]["unit"] == "m"
    assert item["properties"]["mlm:output"][0]["tasks"] == ["regression"]
