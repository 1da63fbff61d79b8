"""Items and arrays that other libraries hand over are scenes, and give the pixels of the files that they are of."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pystac
import pytest
import rioxarray
import xarray as xr

from rsmtl.errors import SceneError
from rsmtl.scene.open import open_scene, reopen, scene_refs
from rsmtl.scene.scene import Scene
from tests.scene.rasters import image, write_raster

WHOLE = slice(0, 40), slice(0, 50)


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    return write_raster(tmp_path / "scene.tif", image(3, 40, 50))


def an_item(raster: Path, name: str = "it", roles: list[str] | None = None) -> pystac.Item:
    item = pystac.Item(name, None, None, datetime(2026, 1, 1, tzinfo=UTC), {})
    item.add_asset("pixels", pystac.Asset(str(raster), media_type=pystac.MediaType.COG, roles=roles))
    return item


def pixels(scene: Scene) -> np.ndarray:
    (found,) = scene.inputs.values()
    return found.read(*WHOLE)


def test_items_and_arrays_have_the_pixels_of_their_file(raster: Path) -> None:
    item, array = an_item(raster, roles=["data"]), rioxarray.open_rasterio(raster)
    assert isinstance(array, xr.DataArray)
    expected = pixels(open_scene(raster))
    for handed in (
        item,
        item.to_dict(),
        pystac.ItemCollection([item]),
        pystac.ItemCollection([item]).to_dict(),
        array,
        array.expand_dims("time"),
    ):
        assert (pixels(open_scene(handed)) == expected).all()
    bands = array.to_dataset("band").rename({1: "red", 2: "green", 3: "blue"})
    for variables in (bands, bands.expand_dims("time")):
        assert set(open_scene(variables).inputs) == {"red", "green", "blue"}
        assert (pixels(open_scene(variables, ["blue", "red"])) == expected[[2, 0]]).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda array: xr.concat([array, array], "time"), "an array of 2 times is no scene: choose one"),
        (lambda array: array.to_dataset("band").isel(x=0), "holds no array with y and x"),
    ],
)
def test_arrays_that_are_no_scene_are_refused(raster: Path, change, said: str) -> None:
    with pytest.raises(SceneError, match=said):
        open_scene(change(rioxarray.open_rasterio(raster)))


def test_options_that_say_nothing_of_an_array_are_refused(raster: Path) -> None:
    array = rioxarray.open_rasterio(raster)
    with pytest.raises(SceneError, match=r"array\.sel"):
        open_scene(array, ["1"])
    with pytest.raises(SceneError, match="leave `offset` out"):
        open_scene(array, offset="none")
    with pytest.raises(SceneError, match="no variable nir: it has 1, 2, 3"):
        open_scene(array.to_dataset("band"), ["nir"])


def test_several_items_are_no_scene(raster: Path, tmp_path: Path) -> None:
    several = pystac.ItemCollection([an_item(raster, name) for name in "ab"])
    with pytest.raises(SceneError, match=r"2 items \(a, b\) is no scene"):
        open_scene(several)
    with pytest.raises(SceneError, match=r"0 items \(none\) is no scene"):
        open_scene({"type": "FeatureCollection", "features": []})


def test_a_saved_search_is_a_catalogue_of_items_that_say_where_they_stand(
    raster: Path, tmp_path: Path
) -> None:
    items = [an_item(raster, name, ["data"]) for name in "ab"]
    for item in items:
        (tmp_path / f"{item.id}.json").write_text(json.dumps(item.to_dict()))
        item.add_link(pystac.Link("self", str(tmp_path / f"{item.id}.json")))
    found = tmp_path / "found.json"
    pystac.ItemCollection(items, clone_items=False).save_object(str(found))
    refs = list(scene_refs(found))
    assert [ref.id for ref in refs] == ["a", "b"]
    assert (pixels(open_scene(refs[1].source)) == pixels(open_scene(raster))).all()


def test_an_item_that_does_not_say_where_it_stands_is_no_part_of_a_catalogue(
    raster: Path, tmp_path: Path
) -> None:
    pystac.ItemCollection([an_item(raster, name) for name in "ab"]).save_object(str(tmp_path / "found.json"))
    with pytest.raises(SceneError, match="does not say where it stands"):
        list(scene_refs(tmp_path / "found.json"))


def test_an_item_is_opened_again_where_it_stands_if_it_says_so(raster: Path, tmp_path: Path) -> None:
    item = an_item(raster, roles=["data"])
    with pytest.raises(SceneError, match="made in memory"):
        reopen(open_scene(item).opened_with)
    item.set_self_href(str(tmp_path / "it.json"))
    (tmp_path / "it.json").write_text(json.dumps(item.to_dict()))
    assert (pixels(reopen(open_scene(item).opened_with)) == pixels(open_scene(raster))).all()


@pytest.mark.parametrize("roles", [None, ["reflectance"], ["data", "visual"]])
def test_the_only_raster_of_an_item_is_its_data_whatever_its_role_is_called(
    raster: Path, roles: list[str] | None
) -> None:
    item = an_item(raster, roles=roles)
    item.add_asset("picture", pystac.Asset(str(raster), media_type=pystac.MediaType.COG, roles=["thumbnail"]))
    assert set(open_scene(item).inputs) == {"pixels"}


def test_bands_are_found_by_their_common_names_if_only_one_has_them(raster: Path) -> None:
    item = an_item(raster, roles=["data"])
    one = write_raster(raster.with_name("nir.tif"), image(1, 40, 50, seed=1))
    names = ("red", "green", "blue")
    item.assets["pixels"].extra_fields["bands"] = [{"eo:common_name": name} for name in names]
    for key in ("B08", "B8A"):
        item.add_asset(key, pystac.Asset(str(one), media_type=pystac.MediaType.COG, roles=["data"]))
    item.assets["B08"].extra_fields["eo:bands"] = [{"name": "B08", "common_name": "nir"}]
    found = open_scene(item, ["nir", "red"])
    expected = [pixels(open_scene(one))[0], pixels(open_scene(raster))[0]]
    assert (pixels(found) == np.stack(expected)).all()
    item.assets["B8A"].extra_fields["eo:bands"] = [{"name": "B8A", "common_name": "nir"}]
    with pytest.raises(SceneError, match=r"2 bands called 'nir': name one of B08, B8A"):
        open_scene(item, ["nir"])


def test_what_a_reader_calls_a_file_is_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "run #3, 100%"
    folder.mkdir()
    raster = write_raster(folder / "a b.tif", image(1, 40, 50))
    item = an_item(Path("a b.tif"), roles=["data"])
    (folder / "item.json").write_text(json.dumps(item.to_dict(include_self_link=False)))
    for source in (
        raster,
        raster.as_uri(),
        f"file://{raster}",
        folder / "item.json",
        (folder / "item.json").as_uri(),
    ):
        assert (pixels(open_scene(source)) == pixels(open_scene(raster))).all()
