import pickle
from fractions import Fraction

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from rsmtl.errors import SceneError
from rsmtl.models.spec import HeadSpec, InputSpec, ModelSpec
from rsmtl.scene.align import align, choice_note, scaled_grid
from rsmtl.scene.open import open_scene
from rsmtl.scene.read import read_window
from tests.scene.rasters import CRS, asset, grid, image, write_item, write_raster


def model(*inputs):
    """A model with these inputs: (name, channels, scale, bands)."""
    made = [InputSpec(name=n, channels=c, scale=s, bands=b) for n, c, s, b in inputs]
    return ModelSpec(
        system="fake",
        inputs=made,
        heads=[HeadSpec(name="h", channels=1, kind="continuous", like=inputs[0][0])],
    )


def image_model(channels, bands=()):
    return model(("image", channels, 1, bands))


PAN_MS = model(("pan", 1, 1, ()), ("ms", 4, "1/4", ()))


def read(found):
    return found.read(slice(0, found.geobox.shape[0]), slice(0, found.geobox.shape[1]))


def pan_and_ms(folder, ms_grid=None, ms_shape=(20, 15), crs=CRS):
    write_raster(folder / "pan.tif", image(1, 80, 60), grid(2.5))
    write_raster(folder / "ms.tif", image(4, *ms_shape, seed=1), ms_grid or grid(10), crs=crs)
    return open_scene({"ms": folder / "ms.tif", "pan": folder / "pan.tif"})


def test_inputs_that_fit_pass_through_untouched_in_the_model_s_order(tmp_path):
    scene = pan_and_ms(tmp_path)
    aligned = align(scene, PAN_MS)
    assert list(aligned.inputs) == ["pan", "ms"]
    assert {i.scale for i in aligned.inputs.values()} == {Fraction(1), Fraction(1, 4)}
    for name, found in aligned.inputs.items():
        assert found.alignment == "native"
        assert found.data is scene.inputs[name].data
    assert aligned.sources == scene.sources
    assert aligned.opened_with == scene.opened_with


@pytest.mark.parametrize("shape", [(77, 57), (80, 60), (1, 1)])
def test_the_last_pixel_of_a_coarser_input_may_reach_past_the_reference(tmp_path, shape):
    write_raster(tmp_path / "pan.tif", image(1, *shape), grid(2.5))
    ms = (-(-shape[0] // 4), -(-shape[1] // 4))
    write_raster(tmp_path / "ms.tif", image(4, *ms), grid(10))
    aligned = align(open_scene({"ms": tmp_path / "ms.tif", "pan": tmp_path / "pan.tif"}), PAN_MS)
    assert aligned.inputs["ms"].alignment == "native"


@pytest.mark.parametrize(
    ("ms_grid", "ms_shape", "crs", "said"),
    [
        (grid(10, dx=5), (20, 15), CRS, "bilinear, from 10 m in EPSG:32631 onto 10 m"),
        (grid(10.001), (20, 15), CRS, "bilinear, from 10.001 m in EPSG:32631 onto 10 m"),
        (grid(10), (19, 15), CRS, "bilinear, from 10 m in EPSG:32631 onto 10 m"),
        (Affine(12, 0, 5e5, 0, -10, 5e6), (20, 15), CRS, "bilinear, from 12 × 10 m in EPSG:32631 onto 10 m"),
        (
            Affine(0.0001, 0, 2.9995, 0, -0.0001, 45.1535),
            (40, 30),
            "EPSG:4326",
            "bilinear, from 0.0001° in EPSG:4326 onto 10 m in EPSG:32631",
        ),
    ],
)
def test_inputs_that_do_not_fit_are_resampled_and_say_so(tmp_path, ms_grid, ms_shape, crs, said):
    aligned = align(pan_and_ms(tmp_path, ms_grid, ms_shape, crs), PAN_MS)
    ms = aligned.inputs["ms"]
    assert ms.alignment == said
    assert ms.geobox == scaled_grid(aligned.inputs["pan"].geobox, Fraction(1, 4))
    assert ms.geobox.shape == (20, 15)
    assert ms.storage.masked
    again = align(aligned, PAN_MS)
    assert again.inputs["ms"].data is ms.data
    assert again.inputs["ms"].alignment == said


def test_the_resampling_asked_for_is_the_one_used(tmp_path):
    scene = pan_and_ms(tmp_path, grid(10, dx=4))
    nearest = align(scene, PAN_MS, "nearest").inputs["ms"]
    assert nearest.alignment.startswith("nearest, from")
    own = read(scene.inputs["ms"])
    np.testing.assert_array_equal(read(nearest), own)  # 0.4 pixels to the side
    assert not np.array_equal(read(align(scene, PAN_MS, "cubic").inputs["ms"]), own)


def test_inputs_of_different_ground_are_refused(tmp_path):
    with pytest.raises(
        SceneError, match="input 'ms' of scene 'ms' does not overlap its reference input 'pan'"
    ):
        align(pan_and_ms(tmp_path, grid(10, dx=1e5)), PAN_MS)


def test_one_input_takes_the_model_s_name(tmp_path):
    scene = open_scene({"whatever": write_raster(tmp_path / "a.tif", image(3, 8, 8))})
    aligned = align(scene, image_model(3))
    assert [(key, found.name) for key, found in aligned.inputs.items()] == [("image", "image")]


def test_a_wrong_number_of_bands_is_refused_with_the_remedy(tmp_path):
    path = write_raster(tmp_path / "a.tif", image(4, 8, 8), names=("blue", "green", "red", "nir"))
    said = (
        r"the model's input 'image' takes 3 bands \(red, green, blue\), scene 'a' gives 4 \(blue, green, red, nir\): "
        r"say which to take, in order, with `--assets`: bands of a file \(3,2,1\), assets of an item"
    )
    rgb = image_model(3, ("red", "green", "blue"))
    with pytest.raises(SceneError, match=said):
        align(open_scene(path), rgb)
    assert align(open_scene(path, ["red", "green", "blue"]), rgb).inputs["image"].bands == (
        "red",
        "green",
        "blue",
    )


def test_the_right_bands_in_another_order_are_refused_with_the_remedy(tmp_path):
    path = write_raster(tmp_path / "a.tif", image(3, 8, 8), names=("Blue", "Green", "Red"))
    with pytest.raises(
        SceneError,
        match=r"in the order red, green, blue, .* gives Blue, Green, Red: .*--assets red,green,blue",
    ):
        align(open_scene(path), image_model(3, ("red", "green", "blue")))
    align(
        open_scene(path), image_model(3, ("nir", "red", "green"))
    )  # other names: nothing can be told from them


def item_with_a_preview(folder):
    """Four bands of data, and an 8-bit picture made of three of them."""
    bands = ("blue", "green", "red", "nir")
    write_raster(folder / "analytic.tif", image(4, 8, 8), photometric="minisblack", names=bands)
    picture = image(3, 8, 8).astype("uint8")
    write_raster(folder / "visual.tif", picture, photometric="minisblack", names=("red", "green", "blue"))
    return write_item(folder, {"analytic": asset("analytic.tif"), "visual": asset("visual.tif", ("visual",))})


def test_of_several_assets_the_one_that_has_the_bands_is_taken_and_said(tmp_path):
    item = item_with_a_preview(tmp_path)
    scene = open_scene(item)
    for bands, name in ((("red", "green", "blue"), "visual"), (("Blue", "green", "red", "NIR"), "analytic")):
        spec = image_model(len(bands), bands)
        aligned = align(scene, spec)
        assert aligned.inputs["image"].data is scene.inputs[name].data
        assert [source.href for source in aligned.sources] == [str(item), str(tmp_path / f"{name}.tif")]
        assert choice_note(scene, spec) == (
            "of 'analytic' (4 bands: blue, green, red, nir), 'visual' (3 bands: red, green, blue) in scene 'scene-1', "
            f"{name!r} is taken, as its bands are {', '.join(bands)}: take another one with `--assets`"
        )
    named = open_scene(item, ["visual"])
    assert choice_note(named, image_model(3, ("red", "green", "blue"))) == ""


@pytest.mark.parametrize(
    ("n", "bands"), [(3, ()), (4, ()), (3, ("nir", "red", "green")), (2, ("red", "nir")), (2, ())]
)
def test_of_several_assets_none_is_guessed_by_how_many_bands_it_has(tmp_path, n, bands):
    scene = open_scene(item_with_a_preview(tmp_path))
    with pytest.raises(
        SceneError,
        match=r"scene 'scene-1' gives 'analytic' \(4 bands: blue, green, red, nir\), "
        r"'visual' \(3 bands: red, green, blue\): say which to take with `--assets`, by name",
    ):
        align(scene, image_model(n, bands))


def test_an_asset_called_like_the_model_s_input_is_taken(tmp_path):
    for name in ("pan", "ms", "other"):
        write_raster(
            tmp_path / f"{name}.tif", image(1 if name == "pan" else 4, 8, 8), photometric="minisblack"
        )
    scene = open_scene(write_item(tmp_path, {name: asset(f"{name}.tif") for name in ("other", "ms", "pan")}))
    assert list(align(scene, model(("pan", 1, 1, ()), ("ms", 4, 1, ()))).inputs) == ["pan", "ms"]
    with pytest.raises(
        SceneError, match=r"takes 'hs' \(9 bands\) and 'pan' \(1 band\), .*: give a file for each input"
    ):
        align(scene, model(("hs", 9, 1, ()), ("pan", 1, 1, ())))


def test_bands_of_one_input_come_onto_its_finest_grid(tmp_path):
    fine, coarse = image(2, 40, 40), np.full((1, 20, 20), 9, np.uint16)
    for name, values, gsd in (("red", fine[:1], 10), ("nir", fine[1:], 10), ("swir", coarse, 20)):
        write_raster(tmp_path / f"{name}.tif", values, grid(gsd))
    item = write_item(tmp_path, {name: asset(f"{name}.tif") for name in ("red", "nir", "swir")})
    scene = open_scene(item, ["swir", "red", "nir"])
    found = align(scene, image_model(3)).inputs["image"]
    assert found.alignment == "bands swir: bilinear, from 20 m in EPSG:32631 onto 10 m"
    assert (found.bands, found.parts) == (("swir", "red", "nir"), ())
    assert found.geobox == GeoBox((40, 40), grid(10), CRS)
    np.testing.assert_array_equal(read(found), np.concatenate([np.full((1, 40, 40), 9), fine]))
    reference = write_raster(tmp_path / "pan.tif", image(1, 80, 80), grid(5, dx=1))
    both = open_scene(item, {"ms": ["swir", "red"], "pan": ["red"]})
    both = type(both)(id="x", inputs={"ms": both.inputs["ms"], "pan": open_scene(reference).inputs["image"]})
    told = align(both, model(("pan", 1, 1, ()), ("ms", 2, "1/2", ()))).inputs["ms"].alignment
    assert told == (
        "bands swir: bilinear, from 20 m in EPSG:32631 onto 10 m; then bilinear, from 10 m in EPSG:32631 onto 10 m"
    )


@pytest.mark.real
@pytest.mark.parametrize(
    ("pan", "ms", "n", "scale"),
    [
        ("tile1_pan_0.5m", "tile1_ms_2m", 4, "1/4"),
        ("tile2_pan_0.5m", "tile2_ms_2m", 4, "1/4"),
        ("momotombo_L1TP_pan_15m", "momotombo_L1TP_ms_30m", 6, "1/2"),
    ],
)
def test_real_pairs(real_data, pan, ms, n, scale):
    spec = model(("pan", 1, 1, ()), ("ms", n, scale, ()))
    files = {"pan": real_data / "pan_ms" / f"{pan}.tif", "ms": real_data / "pan_ms" / f"{ms}.tif"}
    scene = open_scene(files)
    aligned = pickle.loads(pickle.dumps(align(scene, spec)))
    height, width = aligned.inputs["pan"].geobox.shape
    values, valid = read_window(aligned, spec, slice(0, height), slice(0, width))
    assert values["ms"].shape[1:] == tuple(
        -(-size // Fraction(scale).denominator) for size in (height, width)
    )
    assert aligned.inputs["ms"].alignment.startswith("bilinear, from ")
    own = read(scene.inputs["ms"])
    np.testing.assert_allclose(np.nanmean(values["ms"], axis=(1, 2)), np.nanmean(own, axis=(1, 2)), rtol=0.01)
    # the pan band shows the same ground: it goes with the mean of the bands, pixel by pixel
    step = Fraction(scale).denominator
    rows, cols = height // step, width // step
    coarse = values["pan"][0, : rows * step, : cols * step].reshape(rows, step, cols, step).mean(axis=(1, 3))
    both = np.isfinite(coarse) & np.isfinite(values["ms"][:, :rows, :cols]).all(axis=0)
    assert np.corrcoef(coarse[both], values["ms"][:3, :rows, :cols].mean(axis=0)[both])[0, 1] > 0.8
    assert valid.any()


def test_inputs_without_a_crs_go_together_on_one_grid_only(tmp_path):
    """Where a coarser one lies is not known: put by its pixel coordinates it would cover a corner of the other."""
    pan = write_raster(tmp_path / "pan.tif", image(1, 80, 60), grid(2.5), crs=None)
    fitting = write_raster(tmp_path / "fitting.tif", image(4, 20, 15), grid(10), crs=None)
    aligned = align(open_scene({"pan": pan, "ms": fitting}, allow_no_crs=True), PAN_MS)
    assert aligned.inputs["ms"].alignment == "native"
    for crs in (None, CRS):
        other = write_raster(tmp_path / "other.tif", image(4, 20, 15), grid(10, dx=5), crs=crs)
        with pytest.raises(
            SceneError, match="input 'ms' of scene 'pan' lies on another grid than its fellows, and"
        ):
            align(open_scene({"pan": pan, "ms": other}, allow_no_crs=True), PAN_MS)
