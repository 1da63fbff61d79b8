"""A plan is fixed before anything runs, and says what it costs."""

from dataclasses import replace
from fractions import Fraction

import dask.array as da
import numpy as np
import pytest
import torch
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from rsmtl.config import Settings
from rsmtl.engine.cost import check_fits, cost
from rsmtl.engine.executor import SerialExecutor
from rsmtl.engine.plan import plan
from rsmtl.errors import ModelError, PlanError, SceneError
from rsmtl.models.model import Model
from rsmtl.models.spec import InputSpec, ModelSpec
from rsmtl.radiometry import Radiometry
from rsmtl.scene.scene import Scene, Storage
from tests import fakes


def test_costs_are_counted() -> None:
    scene = fakes.make_scene(fakes.textured((3, 600, 700)), Storage("uint16", nodata=0))
    model = fakes.random_urec()
    found = cost(plan(scene, model, Settings(window=128, overlap=32, chunk=2)))
    assert (found.n_windows, found.n_chunks, found.chunk_px) == (6 * 7, 4 * 4, 192)
    assert found.windows_per_px == pytest.approx(42 * 128 * 128 / (600 * 700))
    assert found.written_bytes == 600 * 700
    rows, cols = 600 + 32 + 32 + 24, 700 + 3 * 32  # each chunk reads a border past its end, if there is one
    assert found.read_bytes == rows * cols * 3 * 2


def test_a_plan_needs_more_memory_with_larger_chunks_and_batches() -> None:
    scene, model = fakes.make_scene(fakes.textured((3, 1600, 1600))), fakes.random_urec()
    base = Settings(window=128, overlap=32, chunk=2, heads=fakes.UREC_HEADS)
    smallest = cost(plan(scene, model, base)).worker_bytes
    assert cost(plan(scene, model, base.model_copy(update={"chunk": 8}))).worker_bytes > smallest + 50 * 2**20
    assert (
        cost(plan(scene, model, base.model_copy(update={"batch": 16}))).worker_bytes > smallest + 20 * 2**20
    )


def test_what_this_process_holds_besides_is_no_memory_of_a_workers() -> None:
    made = plan(
        fakes.make_scene(fakes.textured((3, 100, 100))), fakes.random_urec(), Settings(window=64, overlap=16)
    )
    held = np.ones(800 * 2**20, np.uint8)  # a page that is not written to takes no memory
    assert held.all()
    assert cost(made).worker_bytes < 800 * 2**20


def test_the_forward_pass_of_a_gpu_takes_none_of_a_workers_memory() -> None:
    scene, model = fakes.make_scene(fakes.textured((3, 1600, 1600))), fakes.random_urec()
    made = plan(scene, model, Settings(window=512, overlap=64, chunk=1, batch=64))
    there = replace(made, settings=made.settings.model_copy(update={"device": "cuda"}))
    assert cost(made).worker_bytes > cost(there).worker_bytes + 500 * 2**20


def test_a_plan_that_cannot_fit_is_refused_with_both_figures() -> None:
    made = plan(
        fakes.make_scene(fakes.textured((3, 100, 100))), fakes.random_urec(), Settings(window=64, overlap=16)
    )

    class Tiny(SerialExecutor):
        slot_bytes = 3 * 2**20

    with pytest.raises(
        PlanError, match=r"need [\d,]+ MiB and a worker has 3 MiB for it: use a smaller chunk"
    ):
        check_fits(cost(made), Tiny())


def test_scene_percentiles_replace_the_models_radiometry() -> None:
    values = fakes.textured((3, 300, 300)) * 4000 + 500
    model = fakes.random_urec(high=2047)
    own = plan(fakes.make_scene(values), model, Settings(window=128, overlap=32))
    assert own.radiometry["image"].high == (2047.0,)
    scene = plan(fakes.make_scene(values), model, Settings(window=128, overlap=32, radiometry="scene"))
    expected = np.percentile(values.reshape(3, -1), (2, 98), axis=1)
    np.testing.assert_allclose(
        (scene.radiometry["image"].low, scene.radiometry["image"].high), expected, rtol=1e-5
    )


def test_a_scene_that_does_not_fit_the_model_is_refused() -> None:
    with pytest.raises(SceneError, match="3 bands"):
        plan(
            fakes.make_scene(fakes.textured((4, 50, 50))),
            fakes.random_urec(),
            Settings(window=64, overlap=16),
        )


def test_what_is_left_open_is_as_it_has_always_been() -> None:
    scene, model = fakes.make_scene(fakes.textured((3, 1600, 1600))), fakes.random_urec()
    named = Settings(window=512, overlap=64, margin=0, chunk=1, batch=1)
    left_open = plan(scene, model, Settings(margin=0))
    assert left_open.fingerprint["settings"] == {
        "window": 512,
        "overlap": 64,
        "margin": 0,
        "fidelity": "standard",
        "exact": False,
        "chunk": 1,
        "batch": 1,
        "blend": "linear",
        "tta": "none",
        "precision": "fp32",
        "device": "cpu",
        "torch_threads": 1,
        "extras": [],
        "heads": [],
        "radiometry": "model",
        "resampling": "bilinear",
    }
    assert left_open.run == plan(scene, model, named).run
    assert sorted(left_open.why) == ["batch", "chunk", "overlap", "window"]
    assert plan(scene, model, named).why == {}


def test_outputs_say_how_their_numbers_are_stored() -> None:
    storage = Storage("int16", nodata=-9999, scale=(0.0001,), offset=(-0.1,))
    scene = fakes.make_scene(fakes.textured((3, 50, 50)), storage)
    made = plan(
        scene,
        fakes.random_urec(),
        Settings(window=64, overlap=16, extras=("confidence", "probabilities"), heads=fakes.UREC_HEADS),
    )
    by_name = {output.name: output for output in made.outputs}
    assert list(by_name) == [
        "segmentation",
        "segmentation_confidence",
        "segmentation_probabilities",
        "reconstruction",
    ]
    classes, confidence = by_name["segmentation"], by_name["segmentation_confidence"]
    assert (classes.dtype, classes.nodata, len(classes.classes)) == ("uint8", 255, 6)
    assert (confidence.band_scale, confidence.classes) == ((1 / 254,), ())
    assert len(by_name["segmentation_probabilities"].bands) == 6
    rebuilt = by_name["reconstruction"]
    assert (rebuilt.dtype, rebuilt.nodata, rebuilt.band_scale, rebuilt.band_offset) == (
        "int16",
        -9999,
        (0.0001,),
        (-0.1,),
    )
    assert rebuilt.scale == Fraction(1)


def test_percentiles_are_found_where_the_valid_pixels_lie_between_the_blocks_of_the_sample() -> None:
    values = np.full((1, 4096, 4096), np.nan, dtype=np.float32)
    values[0, 80:560, 80:560] = 5000 + fakes.textured((480, 480)) * 3000
    made = plan(
        fakes.make_scene(values), fakes.identity(), Settings(window=64, overlap=16, radiometry="scene")
    )
    (low,), (high,) = made.radiometry["image"].low, made.radiometry["image"].high
    assert 5000 < low < 6000 < high < 8000


@pytest.mark.parametrize(
    ("radiometry", "scale", "settings"),
    [
        (
            Radiometry(low=(0.0,) * 4, high=(2047.0, 1000.0, 2000.0, 500.0)),
            (1.0,),
            Settings(window=64, overlap=16),
        ),
        (Radiometry(), (1.0,), Settings(window=64, overlap=16, radiometry="scene")),
        (Radiometry(), (1.0, 2.0, 1.0, 1.0), Settings(window=64, overlap=16)),
    ],
)
def test_heads_of_other_bands_than_their_values_need_one_radiometry(
    radiometry: Radiometry, scale: tuple[float, ...], settings: Settings
) -> None:
    class Three(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"same": image[:, :3]}

    scene = fakes.make_scene(fakes.textured((4, 100, 100)) * 500, Storage("uint16", scale=scale))
    spec = ModelSpec(
        system="three",
        inputs=(InputSpec(name="image", channels=4, radiometry=radiometry),),
        heads=(fakes.continuous("same", 3),),
    )
    with pytest.raises(
        ModelError,
        match=r"'same' has 3 band\(s\) in the values of input 'image', which has 4, each scaled by its",
    ):
        plan(scene, Model.from_module(Three(), spec), settings)


def test_one_radiometry_for_all_bands_is_enough() -> None:
    scene = fakes.make_scene(fakes.textured((4, 100, 100)) * 500, Storage("uint16"))
    spec = ModelSpec(
        system="three", inputs=(fakes.image_input(4, 2047.0),), heads=(fakes.continuous("same", 3),)
    )
    made = plan(scene, Model.from_module(torch.nn.Identity(), spec), Settings(window=64, overlap=16))
    assert made.outputs[0].bands == ("band 1", "band 2", "band 3")


def test_a_plan_knows_how_finely_its_inputs_came() -> None:
    ms = fakes.make_input("ms", fakes.textured((3, 40, 40)), gsd_m=2.0)
    scene = Scene(id="pair", inputs={"pan": fakes.make_input("pan", fakes.textured((1, 160, 160))), "ms": ms})
    spec = ModelSpec(
        system="fine",
        inputs=(InputSpec(name="pan", channels=1), InputSpec(name="ms", channels=3)),
        heads=(fakes.continuous("hrms", 3, like="ms"),),
    )
    made = plan(scene, Model.from_module(torch.nn.Identity(), spec), Settings(window=64, overlap=16))
    assert made.delivered_scales == {"pan": 1.0, "ms": 0.25}


def test_a_layout_of_countless_chunks_is_refused() -> None:
    grid = GeoBox((2_000_000, 2_000_000), Affine(0.5, 0, 0, 0, -0.5, 0), fakes.CRS)
    empty = xr.DataArray(
        da.zeros((1, *grid.shape), chunks=(1, 4096, 4096), dtype="float32"), dims=("band", "y", "x")
    )
    image = replace(fakes.make_input("image", np.zeros((1, 1, 1))), data=empty, geobox=grid)
    with pytest.raises(
        PlanError, match="976,562,500 chunks of 64 px, at most 2,000,000 are taken: use a larger chunk"
    ):
        plan(Scene("vast", {"image": image}), fakes.identity(), Settings(window=64, overlap=0, chunk=1))
