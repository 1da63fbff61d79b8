"""The same sources behind a web server."""

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from rsmtl.errors import RunError, SceneError
from rsmtl.scene.open import open_scene, reopen, scene_refs
from rsmtl.scene.sources import source_file
from tests.scene.rasters import asset, image, write_catalog, write_item, write_raster
from tests.scene.test_zarr import write as write_zarr


def read(found):
    return found.read(slice(0, found.geobox.shape[0]), slice(0, found.geobox.shape[1]))


def test_a_raster(tmp_path, served):
    values = image(3, 40, 30)
    write_raster(tmp_path / "a.tif", values)
    scene = open_scene(f"{served}/a.tif")
    assert (scene.id, scene.opened_with["source"]) == ("a", f"{served}/a.tif")
    np.testing.assert_array_equal(read(reopen(scene.opened_with).inputs["image"]), values)
    assert scene.sources[0].size_bytes == (tmp_path / "a.tif").stat().st_size


def test_a_catalogue_of_items_with_single_band_assets(tmp_path, served):
    values = image(2, 40, 30)
    (tmp_path / "items").mkdir()
    for name, band in zip(("red", "nir"), values, strict=True):
        write_raster(tmp_path / "items" / f"{name}.tif", band[None])
    write_item(tmp_path / "items", {name: asset(f"./{name}.tif") for name in ("red", "nir")})
    write_catalog(tmp_path, ("./items/scene-1.json",))
    (ref,) = scene_refs(f"{served}/catalog.json")
    scene = open_scene(ref.source, ["nir", "red"])
    np.testing.assert_array_equal(read(scene.inputs["image"]), values[[1, 0]])
    assert scene.item_href == f"{served}/items/scene-1.json"
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        found = pool.submit(
            pickle.loads(pickle.dumps(scene)).inputs["image"].read, slice(0, 9), slice(3, 5)
        ).result()
    np.testing.assert_array_equal(found, values[[1, 0], 0:9, 3:5])


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_a_zarr_store(tmp_path, served):
    values = image(1, 40, 30)
    write_zarr(tmp_path / "a.zarr", consolidated=True, dn=values)
    np.testing.assert_array_equal(read(open_scene(f"{served}/a.zarr").inputs["dn"]), values)


@pytest.mark.parametrize("name", ["nix.tif", "nix.json", "nix.zarr", "nix"])
def test_what_is_not_there_is_refused(served, name):
    with pytest.raises(SceneError, match=name) as caught:
        open_scene(f"{served}/{name}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["refused.tif", "refused.json"])
def test_what_nobody_may_read_is_neither_gone_nor_damaged_and_worth_a_retry(tmp_path, served, name):
    write_raster(tmp_path / name, image(3, 40, 30))
    with pytest.raises(
        RunError, match=rf"{name}' may not be read \(.*403.*\): give credentials that may read it"
    ):
        open_scene(f"{served}/{name}")


def test_a_file_that_is_refused_after_opening_says_so(tmp_path, served):
    path = write_raster(tmp_path / "a.tif", image(1, 2048, 512), tiled=True, blockxsize=256, blockysize=256)
    found = open_scene(f"{served}/a.tif").inputs["image"]
    path.with_name("a.tif.refused").touch()
    with pytest.raises(RunError, match=r"a\.tif' may not be read \(.*403.*\): give credentials"):
        found.read(slice(1024, 2048), slice(0, 512))


def test_a_file_that_goes_after_opening_is_an_error(tmp_path, served):
    path = write_raster(tmp_path / "a.tif", image(1, 2048, 512), tiled=True, blockxsize=256, blockysize=256)
    found = open_scene(f"{served}/a.tif").inputs["image"]
    path.unlink()
    with pytest.raises(RunError, match=r"a\.tif' cannot be read at rows 1024 to 2048"):
        found.read(slice(1024, 2048), slice(0, 512))


def test_a_version_tells_a_changed_file(tmp_path, served):
    path = tmp_path / "a.tif"
    path.write_bytes(b"12")
    before = source_file(f"{served}/a.tif")
    assert (before.size_bytes, before.version) != (None, "")
    path.write_bytes(b"123")
    assert source_file(f"{served}/a.tif") != before
    assert source_file(f"{served}/nix.tif").version == ""
