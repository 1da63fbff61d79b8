import json

import numpy as np
import pytest
import stackstac

from rsmtl.errors import RunError, SceneError
from rsmtl.scene.open import open_scene, reopen, scene_refs
from tests.scene.rasters import CRS, asset, grid, image, write_catalog, write_item, write_raster


def read(found):
    return found.read(slice(0, found.geobox.shape[0]), slice(0, found.geobox.shape[1]))


@pytest.fixture
def bands(tmp_path):
    """Red, green and blue on one grid, an item around them."""
    values = image(3, 40, 30)
    for name, band in zip(("red", "green", "blue"), values, strict=True):
        write_raster(tmp_path / f"{name}.tif", band[None], nodata=0)
    item = write_item(
        tmp_path, {name: asset(f"./{name}.tif") for name in ("red", "green", "blue")}, platform="p1"
    )
    return item, values


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0"])
def test_an_item_gives_id_properties_and_sources(tmp_path, version):
    write_raster(tmp_path / "a.tif", image(3, 8, 8))
    item = write_item(
        tmp_path, {"data": asset("a.tif")}, "s-1", version, platform="p1", **{"proj:epsg": 32631}
    )
    scene = open_scene(item)
    assert (scene.id, scene.item_href) == ("s-1", str(item))
    assert scene.properties == {"datetime": "2024-05-06T07:08:09Z", "platform": "p1"}
    assert [source.href for source in scene.sources] == [str(item), str(tmp_path / "a.tif")]
    assert scene.opened_with == {"source": str(item), "assets": None}


def test_single_bands_are_stacked_in_the_order_asked(bands, monkeypatch):
    item, values = bands
    calls, stack = [], stackstac.stack
    monkeypatch.setattr(
        stackstac, "stack", lambda *args, **kwargs: calls.append(kwargs) or stack(*args, **kwargs)
    )
    scene = open_scene(item, ["blue", "red"])
    found = scene.inputs["image"]
    np.testing.assert_array_equal(read(found), values[[2, 0]])
    np.testing.assert_array_equal(found.read(slice(3, 17), slice(5, 6)), values[[2, 0], 3:17, 5:6])
    assert (found.bands, found.parts, len(calls)) == (("blue", "red"), (), 1)
    assert (found.geobox.affine, str(found.geobox.crs)) == (grid(), CRS)
    assert (found.storage.dtype, found.storage.nodata, found.data.dtype) == ("uint16", 0, np.float32)
    assert [source.href for source in scene.sources] == [
        str(item),
        *(str(item.parent / f"{n}.tif") for n in ("blue", "red")),
    ]


def test_a_stack_keeps_every_kind_of_invalid_pixel_and_scales_as_told(tmp_path):
    a, b = image(2, 20, 20)
    a[1, 2] = 0
    mask = np.full((20, 20), 255, np.uint8)
    mask[3, 4] = 0
    write_raster(tmp_path / "a.tif", a[None], nodata=0, scales=(0.5,), offsets=(1.0,))
    write_raster(tmp_path / "b.tif", b[None], mask=mask)
    b[5, 6] = 999
    write_raster(tmp_path / "c.tif", b[None])
    told = {"raster:bands": [{"scale": 0.0001, "offset": -0.1, "nodata": 999}]}
    item = write_item(tmp_path, {"a": asset("a.tif"), "b": asset("b.tif"), "c": asset("c.tif", **told)})
    found = open_scene(item, ["a", "b", "c"]).inputs["image"]
    values = read(found)
    assert np.argwhere(np.isnan(values)).tolist() == [[0, 1, 2], [1, 3, 4], [2, 5, 6]]
    np.testing.assert_allclose(values[:, 9], [a[9] * 0.5 + 1, b[9], b[9] * 0.0001 - 0.1], rtol=1e-6)
    assert (found.storage.scale, found.storage.offset) == ((0.5, 1.0, 0.0001), (1.0, 0.0, -0.1))
    assert found.storage.nodata is None
    assert found.storage.masked


@pytest.mark.parametrize(
    "told",
    [
        {
            "raster:bands": [{"scale": 2, "nodata": 900}, {"offset": 5}],
            "eo:bands": [{"common_name": "red"}, {"name": "B8"}],
        },
        {
            "bands": [
                {"eo:common_name": "red", "raster:scale": 2, "nodata": 900},
                {"name": "B8", "raster:offset": 5},
            ]
        },
    ],
    ids=["STAC 1.0", "STAC 1.1"],
)
def test_what_an_item_says_of_bands_counts(tmp_path, told):
    values = image(2, 8, 8)
    values[0, 1, 1] = 900
    write_raster(tmp_path / "a.tif", values)
    found = open_scene(write_item(tmp_path, {"a": asset("a.tif", **told)})).inputs["a"]
    assert found.bands == ("red", "B8")
    np.testing.assert_array_equal(read(found)[:, 5], [values[0, 5] * 2.0, values[1, 5] + 5.0])
    assert np.argwhere(np.isnan(read(found))).tolist() == [[0, 1, 1]]


def test_a_scale_for_all_bands_counts_for_each(tmp_path):
    values = image(2, 8, 8)
    write_raster(tmp_path / "a.tif", values)
    told = {"bands": [{"name": "x"}, {"name": "y", "raster:scale": 3}], "raster:scale": 2}
    found = open_scene(write_item(tmp_path, {"a": asset("a.tif", **told)}, version="1.1.0")).inputs["a"]
    np.testing.assert_array_equal(read(found), values * np.array([2.0, 3.0])[:, None, None])


def test_bands_of_other_gsd_are_kept_apart_until_aligned(tmp_path):
    fine, coarse = image(2, 40, 40), image(1, 20, 20)
    for name, values, gsd in (("red", fine[:1], 10), ("nir", fine[1:], 10), ("swir", coarse, 20)):
        write_raster(tmp_path / f"{name}.tif", values, grid(gsd))
    item = write_item(tmp_path, {name: asset(f"{name}.tif") for name in ("red", "nir", "swir")})
    found = open_scene(item, ["swir", "red", "nir"]).inputs["image"]
    assert found.bands == ("swir", "red", "nir")
    assert [part.bands for part in found.parts] == [("swir",), ("red", "nir")]
    assert found.geobox.shape == (40, 40)
    np.testing.assert_array_equal(read(found.parts[0]), coarse)
    np.testing.assert_array_equal(read(found.parts[1]), fine)


def test_assets_with_several_bands_and_crs_without_a_code_are_stacked_too(tmp_path):
    rgb, nir = image(3, 16, 16), image(1, 16, 16, seed=1)
    write_raster(tmp_path / "rgb.tif", rgb)
    write_raster(tmp_path / "nir.tif", nir)
    item = write_item(tmp_path, {"rgb": asset("rgb.tif"), "nir": asset("nir.tif")})
    found = open_scene(item, ["nir", "rgb"]).inputs["image"]
    np.testing.assert_array_equal(read(found), np.concatenate([nir, rgb]))
    assert found.parts == ()
    strange = "+proj=laea +lat_0=45 +lon_0=3 +datum=WGS84"
    for name in ("a", "b"):
        write_raster(tmp_path / f"{name}.tif", nir, crs=strange)
    item = write_item(tmp_path, {"a": asset("a.tif"), "b": asset("b.tif")})
    np.testing.assert_array_equal(
        read(open_scene(item, ["a", "b"]).inputs["image"]), np.concatenate([nir, nir])
    )


def test_bands_of_an_asset_can_be_named(tmp_path):
    values = image(4, 8, 8)
    write_raster(tmp_path / "a.tif", values, names=("blue", "green", "red", "nir"))
    item = write_item(tmp_path, {"analytic": asset("a.tif")})
    found = open_scene(item, ["analytic:red", "analytic:2"]).inputs["image"]
    np.testing.assert_array_equal(read(found), values[[2, 1]])
    assert found.bands == ("red", "2")
    with pytest.raises(SceneError, match=r"a\.tif' has no band swir: it has 1 \(blue\), 2 \(green\)"):
        open_scene(item, ["analytic:swir"])
    with pytest.raises(SceneError, match="has no asset 'x': it has analytic"):
        open_scene(item, ["x:1"])


def test_assets_for_several_inputs(bands):
    item, values = bands
    scene = open_scene(item, {"pan": ["green"], "ms": ["red", "blue"]})
    assert list(scene.inputs) == ["pan", "ms"]
    np.testing.assert_array_equal(read(scene.inputs["pan"]), values[[1]])
    np.testing.assert_array_equal(read(scene.inputs["ms"]), values[[0, 2]])
    again = reopen(json.loads(json.dumps(dict(scene.opened_with))))
    np.testing.assert_array_equal(read(again.inputs["ms"]), values[[0, 2]])


def test_without_assets_the_data_are_offered_and_pictures_only_if_they_have_other_bands(tmp_path):
    for name, n in (("analytic", 4), ("visual", 3), ("thumbnail", 3), ("udm", 1), ("second", 4)):
        write_raster(tmp_path / f"{name}.tif", image(n, 8, 8), photometric="minisblack")
    assets = {
        "visual": asset("visual.tif", ("visual",)),
        "thumbnail": asset("thumbnail.tif", ("thumbnail",)),
        "udm": asset("udm.tif", ("udm",)),
        "analytic": asset("analytic.tif"),
        "metadata": {"href": "m.xml", "type": "text/xml", "roles": ["data"]},
        "second": asset("second.tif", ("visual",)),
    }
    assert list(open_scene(write_item(tmp_path, assets)).inputs) == ["analytic", "visual"]


def test_no_data_asset_is_refused_with_the_names_there_are(tmp_path):
    item = write_item(
        tmp_path, {"udm": asset("u.tif", ("data-mask",)), "thumb": asset("t.tif", ("thumbnail",))}
    )
    with pytest.raises(
        SceneError, match=r"item 'scene-1' has no raster asset with role `data`: .* it has thumb, udm"
    ):
        open_scene(item)


def test_a_missing_asset_is_refused_with_the_names_there_are(bands):
    with pytest.raises(SceneError, match="item 'scene-1' has no asset 'nir': it has blue, green, red"):
        open_scene(bands[0], ["red", "nir"])
    with pytest.raises(SceneError, match="the list of assets is empty"):
        open_scene(bands[0], [])


def test_an_asset_whose_file_is_gone_is_refused(bands):
    (bands[0].parent / "green.tif").unlink()
    with pytest.raises(SceneError, match=r"green\.tif' does not exist"):
        open_scene(bands[0], ["red", "green"])


def test_a_file_that_goes_or_breaks_after_opening_is_an_error_and_no_nodata(bands):
    found = open_scene(bands[0], ["red", "green"]).inputs["image"]
    (bands[0].parent / "green.tif").unlink()
    with pytest.raises(RunError, match=r"green\.tif' cannot be read at rows 0 to 40"):
        read(found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "is JSON but not STAC"),
        ('{"type": "FeatureCollection", "features": []}', "a collection of 0 items"),
        ('{"type": "Feature", "stac_version": "1.0.0", "id": "x"}', "is JSON but not STAC"),
        ("\udcff".encode("utf-8", "surrogatepass").decode("latin1"), "cannot be read as JSON"),
    ],
)
def test_what_is_not_stac_is_refused(tmp_path, text, said):
    path = tmp_path / "item.json"
    path.write_text(text)
    with pytest.raises(SceneError, match=said) as caught:
        open_scene(path)
    assert "\n" not in str(caught.value)


def test_a_catalogue_gives_its_items_and_those_of_its_children_unread(tmp_path):
    write_catalog(tmp_path, ("one/a.json",), ("inner/catalog.json", "gone.json", "catalog.json"))
    write_catalog(tmp_path / "inner", ("b.json", "../one/c.json"))
    refs = list(scene_refs(tmp_path / "catalog.json"))
    assert [ref.id for ref in refs] == ["a", "b", "c", "gone"]
    assert [ref.source for ref in refs] == [
        str(tmp_path / name) for name in ("one/a.json", "inner/b.json", "one/c.json", "gone.json")
    ]


def test_a_bad_item_keeps_no_other_from_being_opened(tmp_path):
    write_raster(tmp_path / "a.tif", image(1, 8, 8))
    write_item(tmp_path, {"a": asset("a.tif")}, "good")
    write_item(tmp_path, {"a": asset("nix.tif")}, "bad")
    (tmp_path / "ugly.json").write_text("{")
    catalog = write_catalog(tmp_path, ("ugly.json", "bad.json", "good.json", "none.json"))
    outcomes = {}
    for ref in scene_refs(catalog):
        try:
            outcomes[ref.id] = open_scene(ref.source).id
        except SceneError as error:
            outcomes[ref.id] = str(error)
    assert outcomes["good"] == "good"
    assert "nix.tif' does not exist" in outcomes["bad"]
    assert "cannot be read as JSON" in outcomes["ugly"]
    assert "none.json' does not exist" in outcomes["none"]


def test_a_catalogue_is_no_scene_and_an_empty_one_has_none(tmp_path):
    catalog = write_catalog(tmp_path)
    with pytest.raises(
        SceneError, match="is a catalogue, not a scene: open the scenes that `scene_refs` finds"
    ):
        open_scene(catalog)
    with pytest.raises(SceneError, match="is a catalogue without items"):
        list(scene_refs(catalog))
    with pytest.raises(SceneError, match=r"nix\.json' does not exist"):
        list(scene_refs(tmp_path / "nix.json"))


@pytest.mark.real
def test_the_planet_collection(real_data):
    refs = list(scene_refs(real_data / "stac" / "planet-disaster" / "collection.json"))
    scenes = {ref.id: open_scene(ref.source) for ref in refs}
    assert {name: {n: len(i.bands) for n, i in scene.inputs.items()} for name, scene in scenes.items()} == {
        "20170831_172754_101c": {"analytic": 4, "visual": 3},
        "2017831_195552_SS02": {"visual": 3},
        "20170831_195425_SS02": {"visual": 3},
        "20170831_162740_ssc1d1": {"visual": 3},
        "Houston-East-20170831-103f-100d-0f4f-RGB": {"mosaic": 3},
    }
    analytic = scenes["20170831_172754_101c"].inputs["analytic"]
    assert (str(analytic.geobox.crs), analytic.storage.dtype, analytic.storage.nodata) == (
        "EPSG:32615",
        "uint16",
        0,
    )
    for scene in scenes.values():
        for found in scene.inputs.values():
            assert read(found).shape == (len(found.bands), 256, 256)


@pytest.mark.real
def test_the_sentinel_item(real_data):
    item = real_data / "stac" / "s2_29RKH" / "item.json"
    offered = open_scene(item).inputs
    assert len(offered) == 13
    names = ["rededge1", "red", "green", "coastal"]
    found = open_scene(item, names).inputs["image"]
    assert [(part.bands, part.geobox.shape) for part in found.parts] == [
        (("rededge1",), (549, 549)),
        (("red", "green"), (1098, 1098)),
        (("coastal",), (183, 183)),
    ]
    for part in found.parts:
        np.testing.assert_array_equal(
            read(part), np.concatenate([read(offered[name]) for name in part.bands])
        )


@pytest.mark.parametrize("there", ["a%20b.tif", "a b.tif"])
@pytest.mark.parametrize("form", ["relative", "url"])
def test_a_percent_sign_is_what_the_disk_says(tmp_path, there, form):
    write_raster(tmp_path / there, image(1, 8, 8))
    href = "a%20b.tif" if form == "relative" else f"file://{tmp_path}/a%20b.tif"
    scene = open_scene(write_item(tmp_path, {"data": asset(href)}))
    assert [source.href for source in scene.sources][1:] == [str(tmp_path / there)]
