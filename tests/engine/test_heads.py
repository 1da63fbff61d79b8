"""Which heads a run stores, in which units, and which values it can blend."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor, nn

from rsmtl.config import Settings
from rsmtl.engine.evaluate import evaluate
from rsmtl.engine.kernel import run_chunk
from rsmtl.engine.lazy import predict
from rsmtl.engine.network import left_out, ready
from rsmtl.engine.plan import plan
from rsmtl.engine.product import write
from rsmtl.engine.verify import verify
from rsmtl.errors import ModelError, PlanError
from rsmtl.models.checkpoint import load_model
from rsmtl.models.model import Model
from rsmtl.models.spec import HeadSpec, ModelSpec, ValueSpec
from rsmtl.radiometry import Radiometry
from rsmtl.scene.open import open_scene
from rsmtl.scene.scene import Storage
from rsmtl.store.zarr import open_product
from tests import fakes

SETTINGS = Settings(window=64, overlap=16)
BOTH = SETTINGS.model_copy(update={"heads": fakes.UREC_HEADS})


def scene_of(values: NDArray, dtype: str = "float32"):
    return fakes.make_scene(values, Storage(dtype, masked=True))


class Scaled(nn.Module):
    """Gives one head: its input times a factor and an offset."""

    def __init__(self, name: str, factor: float, offset: float = 0.0) -> None:
        super().__init__()
        self.name, self.factor, self.offset = name, factor, offset

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {self.name: image * self.factor + self.offset}


def height_model(values: ValueSpec | None) -> Model:
    """Heights of −3.7 to 0.3 m from DN of 0 to 1000."""
    head = HeadSpec(name="height", channels=1, kind="continuous", values=values)
    return fakes.one_input_model(Scaled("height", 4.0, -3.7), 1, head, high=1000.0)


# Products


def test_a_run_stores_the_products_unless_heads_are_named() -> None:
    scene, model = scene_of(fakes.textured((3, 150, 130))), fakes.random_urec()
    assert [head.product for head in model.spec.heads] == [True, False]
    made = plan(scene, model, SETTINGS)
    assert [output.name for output in made.outputs] == ["segmentation"]
    assert list(predict(scene, model, SETTINGS)) == ["segmentation"]
    assert {head for head, _ in run_chunk(made, (0, 0)).strips} == {"segmentation"}
    assert set(predict(scene, model, BOTH)) == {"segmentation", "reconstruction"}
    alone = SETTINGS.model_copy(update={"heads": ("reconstruction",)})
    assert list(predict(scene, model, alone)) == ["reconstruction"]


def test_heads_keep_their_bits_whichever_others_are_asked_for() -> None:
    scene, model = scene_of(fakes.textured((3, 150, 130))), fakes.random_urec()
    both = predict(scene, model, BOTH).compute(scheduler="synchronous")
    for name in fakes.UREC_HEADS:
        alone = predict(scene, model, SETTINGS.model_copy(update={"heads": (name,)}))
        np.testing.assert_array_equal(alone[name].values, both[name].values)


def test_what_nobody_asks_for_is_not_computed() -> None:
    model, image = fakes.random_urec(), torch.rand(1, 3, 64, 64)
    assert left_out(model.spec, SETTINGS) == {"reconstruction"}
    assert set(ready(model, "cpu", left_out(model.spec, SETTINGS))(image)) == {"segmentation"}
    assert set(ready(model, "cpu", left_out(model.spec, BOTH))(image)) == set(fakes.UREC_HEADS)
    assert set(model.module(image)) == set(fakes.UREC_HEADS)


def test_a_head_that_there_is_not_is_refused_with_those_there_are() -> None:
    settings = SETTINGS.model_copy(update={"heads": ("segmentation", "hight")})
    with pytest.raises(PlanError, match=r"has no head 'hight': its heads are segmentation, reconstruction$"):
        plan(scene_of(fakes.textured((3, 100, 100))), fakes.random_urec(), settings)


def test_a_model_without_a_product_is_refused() -> None:
    with pytest.raises(ValueError, match="no head is a product: at least one must be"):
        ModelSpec(
            system="none",
            inputs=(fakes.image_input(1),),
            heads=(HeadSpec(name="h", channels=1, kind="continuous", product=False),),
        )


def test_a_product_has_what_was_asked_for_and_nothing_else(tmp_path: Path) -> None:
    scene = open_scene(
        fakes.write_tiff(tmp_path / "a.tif", (fakes.textured((3, 150, 130)) * 2000).astype("u2"))
    )
    folder = write(scene, fakes.random_urec(high=2047.0), tmp_path / "out", SETTINGS).folder
    assert [path.name for path in folder.glob("*.tif")] == ["segmentation.tif"]
    assert list(next(iter(open_product(folder).values()))) == ["segmentation"]
    item = json.loads((folder / "item.json").read_text())
    assert {name for name, one in item["assets"].items() if one["href"].endswith(".tif")} == {"segmentation"}
    with pytest.raises(Exception, match="its heads are segmentation"):
        evaluate(folder, {"reconstruction": str(tmp_path / "a.tif")})


# Values in a unit of their own


@pytest.mark.parametrize(
    ("values", "step"),
    [
        (None, 1e-6),
        (ValueSpec(unit="m", nodata=-9999.0), 1e-6),
        (ValueSpec(unit="m", dtype="int16", scale=0.01), 0.00501),
        (ValueSpec(unit="m", dtype="uint8", scale=0.02, offset=-4.0, limit=5.0), 0.01001),
    ],
)
def test_heights_come_out_in_metres(values: ValueSpec | None, step: float) -> None:
    dn = fakes.textured((1, 150, 130)) * 1000
    dn[0, :20, :30] = np.nan
    model = height_model(values)
    found = predict(fakes.make_scene(dn, Storage("uint16", nodata=0)), model, SETTINGS).height
    own = values or ValueSpec()
    stored = found.values
    assert stored.dtype == own.dtype
    missing = np.isnan(stored) if np.isnan(own.stored_nodata) else stored == own.stored_nodata
    np.testing.assert_array_equal(missing, np.isnan(dn[0]))
    heights = stored.astype(np.float64) * own.scale + own.offset
    np.testing.assert_allclose(heights[~missing], (dn[0] * 0.004 - 3.7)[~missing], atol=step)
    assert found.attrs.get("units", "") == own.unit
    again = predict(
        fakes.make_scene(dn, Storage("uint16", nodata=0)), model, SETTINGS.model_copy(update={"chunk": 3})
    )
    np.testing.assert_array_equal(again.height.values, stored)


def test_a_product_tells_unit_scale_and_nodata_everywhere(tmp_path: Path) -> None:
    dn = (fakes.textured((1, 150, 130)) * 1000).astype(np.uint16) + 1
    scene = open_scene(fakes.write_tiff(tmp_path / "a.tif", dn, nodata=0))
    values = ValueSpec(unit="m", dtype="int16", scale=0.01, offset=1.0)
    folder = write(scene, height_model(values), tmp_path / "out", SETTINGS).folder
    with rasterio.open(folder / "height.tif") as cog:
        assert (cog.units, cog.scales, cog.offsets, cog.nodata) == (("m",), (0.01,), (1.0,), -32768)
        height = cog.read(1) * 0.01 + 1.0
    np.testing.assert_allclose(height, dn[0] * 0.004 - 3.7, atol=0.00501)
    (group,) = open_product(folder).values()
    attrs = group.height.attrs
    assert (attrs["units"], attrs["scale_factor"], attrs["add_offset"]) == ("m", 0.01, 1.0)
    masked = xr.open_zarr(folder / "product.zarr", group=next(iter(open_product(folder))), consolidated=False)
    np.testing.assert_allclose(masked.height.values[0], height, atol=1e-5)
    (band,) = json.loads((folder / "item.json").read_text())["assets"]["height"]["bands"]
    assert band == {
        "name": "height",
        "data_type": "int16",
        "nodata": -32768,
        "unit": "m",
        "raster:scale": 0.01,
        "raster:offset": 1.0,
    }
    truth = fakes.write_tiff(tmp_path / "truth.tif", (dn * 0.004 - 3.7).astype(np.float32))
    found = evaluate(folder, str(truth)).results["height"]
    assert found["psnr_db"] > 50
    assert found["data_range"] == pytest.approx(float(np.ptp(dn)) * 0.004, abs=1e-4)
    with rasterio.open(folder / "height.tif") as cog:
        same = fakes.write_tiff(tmp_path / "below.tif", (cog.read() * 0.01 - 100).astype(np.float32))
    assert evaluate(folder, str(same)).results["height"]["data_range"] > 0


def test_a_value_that_the_type_cannot_hold_ends_the_run_in_one_sentence() -> None:
    model = height_model(ValueSpec(unit="m", dtype="uint16"))
    scene = fakes.make_scene(fakes.textured((1, 100, 100)) * 1000, Storage("uint16"))
    said = r"head 'height' gave -3\.?\d* m, its spec stores 0 to 65,534 as uint16: give `values` of its spec another"
    with pytest.raises(ModelError, match=said):
        predict(scene, model, SETTINGS).height.compute(scheduler="synchronous")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"values": ValueSpec(), "like": "image"}, "has `values` of its own: that is for"),
        ({"kind": "classes", "activation": "sigmoid", "values": ValueSpec()}, "has `values` of its own"),
    ],
)
def test_a_head_has_values_of_its_own_or_those_of_an_input(given: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        HeadSpec(**{"name": "h", "channels": 1, "kind": "continuous", **given})


@pytest.mark.parametrize("nodata", [-1, 0.5, 256])
def test_a_nodata_value_that_cannot_be_stored_is_refused(nodata: float) -> None:
    with pytest.raises(ValueError, match="uint8 cannot store the nodata value"):
        ValueSpec(dtype="uint8", nodata=nodata)


# Values that can be blended


@pytest.mark.parametrize("dtype", ["int32", "uint32", "float32", "float64"])
def test_409_500_comes_out_as_409_500(dtype: str) -> None:
    values = np.arange(4096, dtype=np.float32).reshape(1, 64, 64).repeat(3, 1).repeat(3, 2) * 100
    found = predict(fakes.make_scene(values, Storage(dtype)), fakes.identity(), SETTINGS).same
    assert found.values.max() == 409_500
    np.testing.assert_array_equal(found.values, values[0].astype(dtype))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32"])
def test_usual_values_are_blended_in_the_usual_steps(dtype: str) -> None:
    scene = scene_of(fakes.textured((1, 100, 100)) * 100, dtype)
    assert plan(scene, fakes.identity(), SETTINGS).exact["same"].steps == 2.0**34


def test_a_value_far_from_those_of_the_sample_ends_the_run_in_one_sentence() -> None:
    values = fakes.textured((1, 900, 900))
    values[0, 440, 75] = 3e38  # between the blocks of the sample, as a sentinel that nobody named
    scene = scene_of(values, "float32")
    lazy = predict(scene, fakes.identity(), SETTINGS).same
    assert lazy[:200].max().compute(scheduler="synchronous") <= 1
    with pytest.raises(ModelError) as caught:
        lazy[430:450, 60:90].compute(scheduler="synchronous")
    assert re.fullmatch(
        r"head 'same' gave a value beyond ±131,072, up to which it can be blended: give the model a radiometry of "
        r"input 'image' .* or name the file's nodata value if this is one",
        str(caught.value),
    )
    values[0, 440, 75] = np.nan
    assert np.isnan(predict(scene_of(values, "float32"), fakes.identity(), SETTINGS).same[440, 75].values)


def test_the_remedy_of_a_greater_limit_works() -> None:
    scene = scene_of(fakes.textured((1, 100, 100)))
    small, large = (
        fakes.one_input_model(
            Scaled("mass", 1e6),
            1,
            HeadSpec(name="mass", channels=1, kind="continuous", values=ValueSpec(unit="kg", limit=limit)),
        )
        for limit in (None, 1e7)
    )
    with pytest.raises(ModelError, match=r"beyond ±131,072, .*: give `values` of its spec a greater `limit`"):
        predict(scene, small, SETTINGS).mass.compute(scheduler="synchronous")
    found = predict(scene, large, SETTINGS).mass.values
    np.testing.assert_array_equal(found, (scene.inputs["image"].data.values[0] * np.float32(1e6)))


# The scene and the model


@pytest.mark.parametrize(
    ("gsd_m", "taken"), [(0.5, True), (0.34, True), (0.74, True), (0.3, False), (300, False)]
)
def test_a_scene_of_another_gsd_is_refused_unless_told(gsd_m: float, taken: bool) -> None:
    model = fakes.identity()
    model = Model.from_module(model.module, model.spec.model_copy(update={"gsd_m": 0.5}))
    made = fakes.make_input("image", fakes.textured((1, 100, 100)), gsd_m=gsd_m)
    scene = fakes.Scene(id="scene", inputs={"image": made})
    if taken:
        plan(scene, model, SETTINGS)
        return
    for refused in (plan, predict):
        with pytest.raises(
            PlanError,
            match=r"times (finer|coarser) than the 0.5 m that the model was trained at, .*`--any-gsd`",
        ):
            refused(scene, model, SETTINGS)
    predict(scene, model, SETTINGS, any_gsd=True)
    plan(scene, model, SETTINGS, any_gsd=True)


def test_a_product_of_another_gsd_can_be_verified(tmp_path: Path) -> None:
    scene = open_scene(
        fakes.write_tiff(tmp_path / "a.tif", (fakes.textured((3, 100, 90)) * 2000).astype("u2"))
    )
    path = fakes.random_checkpoint(tmp_path / "far.safetensors", gsd_m=30.0)
    with pytest.raises(PlanError, match="60 times finer"):
        write(scene, load_model(path), tmp_path / "out", SETTINGS)
    assert not (tmp_path / "out").exists()
    product = write(scene, load_model(path), tmp_path / "out", SETTINGS, any_gsd=True)
    assert verify(product.folder).differing == ()


@pytest.mark.parametrize(
    ("high", "radiometry", "warned"),
    [(2000.0, "model", False), (500.0, "model", True), (500.0, "scene", False), (1.0, "model", False)],
)
def test_a_scene_of_other_values_is_told_in_one_sentence(high: float, radiometry: str, warned: bool) -> None:
    scene = scene_of(fakes.textured((1, 200, 200)) * 1500)
    settings = SETTINGS.model_copy(update={"radiometry": radiometry})
    notes = plan(scene, fakes.identity(high=high), settings).notes
    assert len(notes) == warned
    if warned:
        assert re.match(
            r"\d+% of the pixels of input 'image' of scene 'scene' lie outside the 0 to 500 ", notes[0]
        )
        with pytest.warns(RuntimeWarning, match="lie outside the 0 to 500 that the model expects"):
            predict(scene, fakes.identity(high=high), settings)


def test_a_tenth_outside_is_not_told() -> None:
    values = np.ones((1, 100, 100), dtype=np.float32)
    values[0, :10] = 9
    model = fakes.one_input_model(fakes.Identity(), 1, fakes.continuous("same", 1))
    inputs = (model.spec.inputs[0].model_copy(update={"radiometry": Radiometry(low=(0.0,), high=(2.0,))}),)
    model = Model.from_module(model.module, model.spec.model_copy(update={"inputs": inputs}))
    assert plan(scene_of(values), model, SETTINGS).notes == ()
    values[0, 10, :1] = 9
    assert len(plan(scene_of(values), model, SETTINGS).notes) == 1
