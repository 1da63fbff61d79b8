import json
import os

import numpy as np
import pytest

from rsmtl.errors import SceneError
from rsmtl.scene.open import open_scene, reopen, scene_refs
from rsmtl.scene.scene import Scene
from tests.scene.rasters import image, write_raster


def read(found):
    return found.read(slice(0, found.geobox.shape[0]), slice(0, found.geobox.shape[1]))


def test_a_raster_is_a_scene_of_one_input(tmp_path):
    path = write_raster(
        tmp_path / "a.b.tif", image(2, 6, 6), tags={"TIFFTAG_DATETIME": "2022:01:17 10:43:43"}
    )
    scene = open_scene(path)
    assert (scene.id, list(scene.inputs), scene.item_href) == ("a.b", ["image"], "")
    assert scene.properties == {"datetime": "2022-01-17T10:43:43Z"}
    assert [source.href for source in scene.sources] == [str(path)]


@pytest.mark.parametrize("tag", ["", "2017:08:21 15:08:70"])
def test_a_file_without_a_readable_date_says_when_it_was_changed(tmp_path, tag):
    path = write_raster(tmp_path / "a.tif", image(1, 6, 6), tags={"TIFFTAG_DATETIME": tag})
    os.utime(path, (0, 1_700_000_000))
    assert open_scene(path).properties == {"updated": "2023-11-14T22:13:20Z"}


def test_several_files_by_input_name(tmp_path):
    pan, ms = image(1, 8, 8), image(4, 2, 2, seed=1)
    files = {"pan": write_raster(tmp_path / "pan.tif", pan), "ms": write_raster(tmp_path / "ms.tif", ms)}
    scene = open_scene(files, {"ms": ["3", "1"]})
    assert scene.id == "pan"
    np.testing.assert_array_equal(read(scene.inputs["pan"]), pan)
    np.testing.assert_array_equal(read(scene.inputs["ms"]), ms[[2, 0]])
    with pytest.raises(
        SceneError, match="assets are named for 'image', but the files are for 'pan', 'ms': name them by"
    ):
        open_scene(files, ["1"])
    with pytest.raises(SceneError, match="no file was given"):
        open_scene({})


def test_bands_of_a_raster_can_be_named(tmp_path):
    values = image(4, 6, 6)
    path = write_raster(tmp_path / "a.tif", values, names=("blue", "green", "red", "nir"))
    np.testing.assert_array_equal(read(open_scene(path, ["red", "green"]).inputs["image"]), values[[2, 1]])
    np.testing.assert_array_equal(read(open_scene(path, "nir").inputs["image"]), values[[3]])
    both = open_scene(path, {"pan": ["4"], "ms": ["1", "2"]})
    assert {name: len(found.bands) for name, found in both.inputs.items()} == {"pan": 1, "ms": 2}


def test_a_relative_path_can_be_opened_again_from_elsewhere(tmp_path, monkeypatch):
    values = image(2, 6, 6)
    write_raster(tmp_path / "a.tif", values)
    monkeypatch.chdir(tmp_path)
    scene = open_scene("a.tif", ["2"])
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(read(reopen(scene.opened_with).inputs["image"]), values[[1]])


def test_a_scene_made_in_memory_cannot_be_opened_again():
    with pytest.raises(SceneError, match="was made in memory and cannot be opened again"):
        reopen(Scene(id="x", inputs={}).opened_with)


def test_a_plain_source_is_a_reference_to_itself(tmp_path):
    path = write_raster(tmp_path / "a.tif", image(1, 6, 6))
    (ref,) = scene_refs(path)
    assert (ref.id, ref.source) == ("a", str(path))
    (ref,) = scene_refs({"pan": path})
    assert open_scene(ref.source).id == "a"


@pytest.mark.parametrize(
    "name", ["", "nix.tif", "no/such/folder/x.tif", "/vsizip/nix.zip/a.tif", "file:///nix.tif"]
)
def test_what_is_not_there_is_refused(name):
    with pytest.raises(SceneError, match=r"does not exist|cannot be opened as a raster"):
        open_scene(name)


def test_an_input_of_one_file_per_band(tmp_path):
    values = image(3, 8, 8)
    names = [f"LC08_B{k}" for k in (4, 3, 2)]
    for name, band in zip(names, values, strict=True):
        write_raster(tmp_path / f"{name}.tif", band[None])
    paths = [tmp_path / f"{name}.tif" for name in names]
    scene = open_scene({"image": paths})
    found = scene.inputs["image"]
    assert found.bands == tuple(names)
    np.testing.assert_array_equal(found.read(slice(0, 8), slice(0, 8)), values)
    assert reopen(json.loads(json.dumps(scene.opened_with))).sources == scene.sources
    write_raster(tmp_path / "rgb.tif", values)
    with pytest.raises(SceneError, match="files that make up one input have one band each"):
        open_scene({"image": [paths[0], tmp_path / "rgb.tif"]})
    with pytest.raises(SceneError, match="at least one"):
        open_scene({"image": []})


def test_a_scene_without_a_crs_is_opened_again_as_it_was(tmp_path):
    path = write_raster(tmp_path / "a.tif", image(2, 6, 6), crs=None)
    scene = open_scene(path, allow_no_crs=True)
    assert scene.inputs["image"].geobox.crs is None
    assert reopen(scene.opened_with).inputs["image"].geobox == scene.inputs["image"].geobox
    with pytest.raises(SceneError, match=r"has no coordinate reference system: .* with `--allow-no-crs`"):
        open_scene(path)
    assert "allow_no_crs" not in open_scene(write_raster(tmp_path / "b.tif", image(1, 6, 6))).opened_with
