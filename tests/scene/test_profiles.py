"""What items say of their bands: quirks of catalogues, names, nodata, and what is a band at all."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.enums import ColorInterp

from rsmtl.cli.sources import read_offset
from rsmtl.errors import InputError, SceneError
from rsmtl.scene.open import open_scene, reopen
from tests.scene.rasters import image, write_raster

RGBA = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)


def item(folder: Path, assets: dict[str, dict[str, Any]], **properties: Any) -> Path:
    found = {
        name: {"href": f"{name}.tif", "type": "image/tiff", "roles": ["data"], **said}
        for name, said in assets.items()
    }
    document = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "i",
        "geometry": None,
        "properties": {"datetime": "2024-05-06T07:08:09Z", **properties},
        "links": [],
        "assets": found,
    }
    (folder / "i.json").write_text(json.dumps(document))
    return folder / "i.json"


def values_of(scene, name="image"):
    found = scene.inputs[name]
    return found.read(*(slice(0, size) for size in found.geobox.shape))


def sentinel2(folder: Path, band: dict[str, Any] | None = None, **properties: Any) -> Path:
    write_raster(folder / "red.tif", np.full((1, 8, 8), 2000, "u2"), nodata=0)
    band = {"nodata": 0, "scale": 0.0001, "offset": -0.1} if band is None else band
    return item(folder, {"red": {"raster:bands": [band]}}, **properties)


@pytest.mark.parametrize(
    ("applied", "offset", "expected"),
    [
        (True, "item", 0.2),
        ("true", "item", 0.2),
        (False, "item", 0.1),
        (None, "item", 0.1),
        (True, "none", 0.2),
        (False, "none", 0.2),
        (True, -0.1, 0.1),
        (False, 0.3, 0.5),
        (True, 0.3, 0.5),
    ],
)
def test_an_offset_that_is_in_the_pixels_is_not_added_again(tmp_path, applied, offset, expected):
    said = {} if applied is None else {"earthsearch:boa_offset_applied": applied}
    scene = open_scene(sentinel2(tmp_path, **said), ["red"], offset)
    np.testing.assert_allclose(values_of(scene), expected, rtol=1e-6)
    np.testing.assert_allclose(
        values_of(reopen(json.loads(json.dumps(scene.opened_with)))), expected, rtol=1e-6
    )


@pytest.mark.parametrize(("applied", "offset"), [("perhaps", -0.1), (1, -0.1), (False, 0.0)])
def test_an_item_that_contradicts_itself_is_refused_and_the_remedy_works(tmp_path, applied, offset):
    said = {"earthsearch:boa_offset_applied": applied, "s2:processing_baseline": "05.10"}
    path = sentinel2(tmp_path, {"scale": 0.0001, "offset": offset}, **said)
    with pytest.raises(SceneError, match="boa_offset_applied") as refused:
        open_scene(path, ["red"])
    assert "`--offset`" in str(refused.value)
    np.testing.assert_allclose(values_of(open_scene(path, ["red"], read_offset("none"))), 0.2, rtol=1e-6)
    np.testing.assert_allclose(values_of(open_scene(path, ["red"], read_offset("-0.1"))), 0.1, rtol=1e-6)


@pytest.mark.parametrize("value", ["", "all", "nan", "inf", "1,2"])
def test_an_offset_is_a_word_or_a_number(value):
    with pytest.raises(InputError, match="give item, none, or a number"):
        read_offset(value)


def naip(folder: Path) -> np.ndarray:
    values = np.repeat((np.arange(64 * 64).reshape(1, 64, 64) % 250 + 1), 4, 0).astype("u1")
    values[3, :10] = 0  # near infrared of water
    write_raster(folder / "image.tif", values, photometric="RGB", alpha="YES")
    return values


def test_near_infrared_that_a_file_calls_alpha_is_a_band(tmp_path):
    values, path = naip(tmp_path), tmp_path / "image.tif"
    for bands in ("123", "1234", "4", "321"):
        found = values_of(open_scene(path, list(bands)))
        np.testing.assert_array_equal(found, values[[int(k) - 1 for k in bands]])
    with pytest.raises(SceneError, match=r"`--assets`, as in 1,2,3 or 1,2,3,4"):
        open_scene(path)
    named = [{"name": n, "common_name": n.lower()} for n in ("Red", "Green", "Blue", "NIR")]
    scene = open_scene(item(tmp_path, {"image": {"eo:bands": named}}))
    assert scene.inputs["image"].bands == ("red", "green", "blue", "nir")
    np.testing.assert_array_equal(values_of(scene), values)


@pytest.mark.parametrize("bands", [None, ["1", "2", "3"]])
def test_an_alpha_band_that_is_a_mask_stays_one(tmp_path, bands):
    values = image(4, 64, 64, "uint8")
    values[3] = 255
    values[3, :10] = 0
    values[3, 10] = np.arange(64) * 3  # edges of a mask that was resampled
    write_raster(tmp_path / "image.tif", values, photometric="RGB", alpha="YES")
    found = values_of(open_scene(tmp_path / "image.tif", bands))
    assert found.shape == (3, 64, 64)
    assert np.isnan(found[:, :10]).all()
    assert np.isfinite(found[:, 11:]).all()


def test_a_name_that_several_bands_share_is_refused_with_the_choices(tmp_path):
    write_raster(tmp_path / "image.tif", image(3, 8, 8))
    bands = [{"name": "B04", "common_name": "red"}]
    bands += [{"name": f"B0{k}", "common_name": "rededge"} for k in (5, 6)]
    path = item(tmp_path, {"image": {"eo:bands": bands}})
    scene = open_scene(path)
    assert scene.inputs["image"].bands == ("red", "B05", "B06")
    for name, index in (("B06", 2), ("b05", 1), ("red", 0), ("B04", 0), ("3", 2)):
        found = open_scene(path, [f"image:{name}"])
        np.testing.assert_array_equal(values_of(found)[0], image(3, 8, 8)[index])
    with pytest.raises(SceneError, match=r"2 bands called 'rededge'.*2 \(B05\).*3 \(B06\)"):
        open_scene(path, ["image:rededge"])


def test_a_missing_file_of_an_asset_is_told_with_item_asset_and_href(tmp_path):
    path = item(tmp_path, {"red": {"href": "./nix/red.tif"}})
    with pytest.raises(
        SceneError, match=r"asset 'red' of item 'i' has the href './nix/red.tif'.*folder of the item"
    ):
        open_scene(path)


COMBINATIONS = list(
    itertools.product(("uint16", "float32", "uint8"), (None, 0, 7), (None, 0, 7, 255), (False, True))
)


@pytest.mark.parametrize(("dtype", "of_file", "of_item", "masked"), COMBINATIONS)
def test_nodata_of_item_file_and_mask_have_one_rank_alone_and_in_a_stack(
    tmp_path, dtype, of_file, of_item, masked
):
    """An item's sentinel outranks the file's, and the file's mask does too, as in GDAL."""
    values = (np.arange(64).reshape(1, 8, 8) % 9).astype(dtype)
    mask = np.ones((8, 8), bool)
    mask[0] = False
    for name in "ab":
        write_raster(tmp_path / f"{name}.tif", values, nodata=of_file, mask=mask if masked else None)
    said = {} if of_item is None else {"raster:bands": [{"nodata": of_item}]}
    path = item(tmp_path, dict.fromkeys("ab", said))
    sentinel = of_item if of_item is not None else None if masked else of_file
    expected = values[0].astype("f4")
    if sentinel is not None:
        expected[values[0] == sentinel] = np.nan
    if masked:
        expected[0] = np.nan
    np.testing.assert_array_equal(values_of(open_scene(path, ["a"]))[0], expected)
    np.testing.assert_array_equal(values_of(open_scene(path, ["a", "b"])), [expected, expected])


def test_black_of_one_colour_is_no_hole(tmp_path):
    values = image(3, 8, 8, "uint8")
    values[0, 0, 0] = values[1:, 0, 1] = 0
    values[:, 1, 1] = 0
    write_raster(tmp_path / "image.tif", values, photometric="RGB", nodata=0)
    found = values_of(open_scene(tmp_path / "image.tif"))
    assert np.argwhere(np.isnan(found).any(axis=0)).tolist() == [[1, 1]]
    write_raster(tmp_path / "other.tif", values, photometric="MINISBLACK", nodata=0)
    found = values_of(open_scene(tmp_path / "other.tif"))
    assert np.isnan(found).any(axis=0).sum() == 3
