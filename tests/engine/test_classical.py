"""Classical pansharpening over whole scenes: exact, without a seam, and right on real pairs."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from affine import Affine
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rsmtl.config import Settings
from rsmtl.dispatch import ClusterExecutor, threads
from rsmtl.engine import classical as under_test
from rsmtl.engine.classical import METHODS, RADIUS_PX, pansharpener
from rsmtl.engine.executor import SerialExecutor
from rsmtl.engine.lazy import predict
from rsmtl.engine.plan import plan
from rsmtl.engine.product import write
from rsmtl.engine.verify import verify
from rsmtl.errors import PlanError, SceneError
from rsmtl.scene.open import open_scene
from rsmtl.scene.read import read_window
from rsmtl.scene.scene import Scene, Storage
from rsmtl.store.zarr import open_product
from tests import fakes
from tests.engine import pairs

UINT16 = Storage("uint16")


def scene(height: int = 150, width: int = 170, ratio: int = 1) -> Scene:
    """PAN and three bands of MS in whole DN; with a ratio, MS is that much coarser."""
    pan = np.rint(fakes.textured((1, height, width), seed=1) * 2047)
    shape = -(-height // ratio), -(-width // ratio)
    ms = np.rint(fakes.textured((3, *shape), seed=2) * 1500 + 100)
    inputs = {
        "pan": fakes.make_input("pan", pan, UINT16),
        "ms": fakes.make_input("ms", ms, UINT16, gsd_m=0.5 * ratio),
    }
    return Scene(id="scene", inputs=inputs)


def whole_arrays(made_of: Scene, model) -> dict[str, torch.Tensor]:
    """What the engine reads, all of it."""
    made = plan(made_of, model, Settings(window=64, overlap=16))
    height, width = made.geobox.shape
    values, _ = read_window(made.scene, model.spec, slice(0, height), slice(0, width))
    return {name: torch.from_numpy(array)[None] for name, array in values.items()}


def past_the_end(length: int, window: int, overlap: int) -> int:
    """Pixels by which the last window of an axis reaches past the scene."""
    n_before = max(0, -(-(length - window) // (window - overlap)))
    return n_before * (window - overlap) + window - length


@settings(max_examples=12)
@given(
    st.sampled_from(sorted(METHODS)),
    st.integers(20, 140),
    st.integers(20, 140),
    st.sampled_from([(32, 8), (48, 24), (64, 6)]),
    st.integers(1, 3),
)
def test_a_scene_cut_into_windows_is_the_whole_array(method, height, width, layout, chunk) -> None:
    window, overlap = layout
    ends = [past_the_end(length, window, overlap) for length in (height, width)]
    assume(method != "lmvm" or not any(0 < end < RADIUS_PX for end in ends))  # else reflected twice, in parts
    made_of = scene(height, width)
    model = pansharpener(method, made_of)
    found = predict(made_of, model, Settings(window=window, overlap=overlap, chunk=chunk))["hrms"].compute()
    expected = model.module(**whole_arrays(made_of, model))["hrms"][0].double().numpy()
    np.testing.assert_allclose(found, np.clip(expected, 0, 65535), atol=0.51)
    exact = np.abs(expected - np.floor(expected) - 0.5) > 1e-3  # away from where rounding turns
    np.testing.assert_array_equal(found.values[exact], np.clip(np.rint(expected), 0, 65535)[exact])


def test_ms_that_is_pan_comes_back() -> None:
    pan = np.rint(fakes.textured((1, 133, 151), seed=5) * 2047)
    inputs = {name: fakes.make_input(name, pan, UINT16) for name in ("pan", "ms")}
    same = Scene(id="same", inputs=inputs)
    found = predict(same, pansharpener("lmvm", same), Settings(window=32, overlap=8))["hrms"]
    np.testing.assert_array_equal(found, pan[0])


@pytest.mark.parametrize("method", sorted(METHODS))
def test_the_bits_depend_neither_on_the_layout_nor_on_who_runs_the_jobs(
    method: str, workers: ClusterExecutor, tmp_path: Path
) -> None:
    made_of, layout = scene(ratio=2), Settings(window=48, overlap=16)
    found = []
    with threads(3) as three:
        for k, (executor, chunks) in enumerate(((SerialExecutor(), (1, 3)), (three, (3,)), (workers, (2,)))):
            model = pansharpener(method, made_of, layout, executor=executor)
            for chunk in chunks:
                chosen = layout.model_copy(update={"chunk": chunk})
                product = write(made_of, model, tmp_path / f"{k}-{chunk}", chosen, executor=executor)
                (group,) = open_product(product.folder).values()
                found.append((model.sha256, group["hrms"].values.tobytes()))
    assert all(other == found[0] for other in found)


def regression(made_of: Scene, ratio: int) -> tuple[NDArray, NDArray]:
    """Weights and offset of PAN by the bands, over means of r×r pixels, by numpy alone."""
    arrays = whole_arrays(made_of, pansharpener("brovey", made_of))
    stacked = torch.cat([arrays["pan"], arrays["ms"]], dim=1)[0].double().numpy()
    bands, height, width = stacked.shape
    rows, cols = height // ratio, width // ratio
    blocks = stacked[:, : rows * ratio, : cols * ratio].reshape(bands, rows, ratio, cols, ratio).mean((2, 4))
    flat = blocks.reshape(bands, -1)
    design = np.vstack([np.ones(flat.shape[1]), flat[1:]]).T
    solution = np.linalg.lstsq(design, flat[0], rcond=None)[0]
    return solution[0], solution[1:]


@pytest.mark.parametrize(("method", "blocks"), [("gsa", 4), ("bayesian", 1)])
def test_what_is_fitted_is_the_regression_over_the_whole_scene(method: str, blocks: int) -> None:
    made_of = scene(1100, 1050, ratio=4)  # more than one square
    module = pansharpener(method, made_of).module
    offset, weights = regression(made_of, blocks)
    np.testing.assert_allclose(module.weights.flatten(), weights, rtol=1e-6)
    np.testing.assert_allclose(module.offset, offset, rtol=1e-6)


def test_the_bayesian_gains_solve_its_linear_system() -> None:
    """Z = (λ ββᵀ/S + (1 − λ) Σ⁻¹)⁻¹ (λ β (PAN − α)/S + (1 − λ) Σ⁻¹ MS), computed as it stands."""
    made_of = scene(60, 70, ratio=2)
    model = pansharpener("bayesian", made_of)
    arrays = whole_arrays(made_of, model)
    pan, ms = arrays["pan"][0, 0].double().numpy().ravel(), arrays["ms"][0].double().numpy().reshape(3, -1)
    beta, alpha = model.module.weights.flatten().numpy(), float(model.module.offset)
    residual, inverse = (pan - alpha - beta @ ms).var(), np.linalg.inv(np.cov(ms, bias=True))
    left = 0.9999 * np.outer(beta, beta) / residual + 0.0001 * inverse
    right = 0.9999 * beta[:, None] * (pan - alpha) / residual + 0.0001 * inverse @ ms
    expected = np.linalg.solve(left, right)
    np.testing.assert_allclose(
        model.module(**arrays)["hrms"][0].reshape(3, -1), expected, rtol=1e-4, atol=1e-2
    )


def test_a_product_verifies_and_names_its_method(tmp_path: Path) -> None:
    values = (fakes.textured((1, 200, 220)) * 2046 + 1).astype(np.uint16)
    fakes.write_tiff(tmp_path / "pan.tif", values)
    fakes.write_tiff(tmp_path / "ms.tif", np.repeat(values // 2, 3, axis=0))
    made_of = open_scene({"pan": tmp_path / "pan.tif", "ms": tmp_path / "ms.tif"})
    layout = Settings(window=64, overlap=16)
    product = write(made_of, pansharpener("gsa", made_of, layout), tmp_path / "out", layout)
    assert '"model_source": "gsa"' in (product.folder / "run.json").read_text()
    found = verify(product.folder, n_chunks=3)
    assert found.differing == ()
    assert found.damaged == ()


def test_a_scene_without_pan_is_refused() -> None:
    image = fakes.make_scene(fakes.textured((3, 40, 40)))
    with pytest.raises(
        SceneError, match="gsa takes inputs 'pan' and 'ms', scene 'scene' gives image: give pan=F"
    ):
        pansharpener("gsa", image)
    with pytest.raises(
        SceneError, match="no pansharpening method 'ihs': use one of lmvm, brovey, gsa, bayesian"
    ):
        pansharpener("ihs", image)


def test_a_scene_without_a_valid_pixel_is_refused() -> None:
    empty = fakes.make_input("pan", np.full((1, 40, 40), np.nan))
    nothing = Scene(id="scene", inputs={"pan": empty, "ms": dataclasses.replace(empty, name="ms")})
    with pytest.raises(SceneError, match="'scene' has no pixel that is valid in PAN and MS"):
        pansharpener("bayesian", nothing)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_radiometry_of_the_scene_is_refused(method: str, tmp_path: Path) -> None:
    """A method is fitted to physical values: on others it would give anything."""
    made_of, stretched = scene(60, 70), Settings(window=32, overlap=8, radiometry="scene")
    sentence = (
        f"{method} works on physical values, which a radiometry of 'scene' takes from it: leave it at 'model'"
    )
    with pytest.raises(PlanError, match=sentence):
        pansharpener(method, made_of, stretched)
    with pytest.raises(PlanError, match=sentence):
        predict(made_of, pansharpener(method, made_of), stretched)
    with pytest.raises(PlanError, match=sentence):
        write(made_of, pansharpener(method, made_of), tmp_path, stretched)


def test_the_ratio_is_taken_in_one_crs() -> None:
    """PAN in metres and MS in degrees, or the other way round: a pixel of MS is four of PAN in each."""
    made_of = scene(160, 160, ratio=4)
    pan, ms = made_of.inputs["pan"], made_of.inputs["ms"]
    in_degrees = {
        name: dataclasses.replace(i, geobox=i.geobox.to_crs("EPSG:4326"))
        for name, i in made_of.inputs.items()
    }
    for one, other in ((pan, in_degrees["ms"]), (in_degrees["pan"], ms)):
        assert under_test._ratio(Scene(id="mixed", inputs={"pan": one, "ms": other})) == 4


def test_a_scene_without_a_whole_block_can_be_fitted_by_what_needs_none() -> None:
    inputs = dict(scene(160, 160, ratio=4).inputs)
    inputs["pan"] = fakes.make_input("pan", np.rint(fakes.textured((1, 3, 40), seed=1) * 2047), UINT16)
    flat = Scene(id="flat", inputs=inputs)
    assert pansharpener("bayesian", flat).fitted == "bayesian"
    with pytest.raises(
        SceneError,
        match="'flat' has no 4×4 pixels of PAN, as large as one of MS, that are all valid, so gsa cannot",
    ):
        pansharpener("gsa", flat)


def test_another_grid_of_ms_is_brought_onto_pan() -> None:
    """MS half a PAN pixel off: a ramp in easting comes out where it belongs."""
    ramp = np.arange(40, dtype=np.float32)[None, None].repeat(40, axis=1) * 10
    ms = fakes.make_input("ms", ramp, Storage("float32", masked=True), gsd_m=1.0)
    shifted = GeoBox((40, 40), Affine(1, 0, 500_000.25, 0, -1, 4_999_999.75), fakes.CRS)
    ms = dataclasses.replace(ms, geobox=shifted)
    pan = fakes.make_input("pan", np.ones((1, 80, 80), np.float32))
    made_of = Scene(id="scene", inputs={"pan": pan, "ms": ms})
    arrays = whole_arrays(made_of, pansharpener("brovey", made_of))
    centres = (np.arange(80) + 0.5) * 0.5 - 0.25 - 0.5
    np.testing.assert_allclose(arrays["ms"][0, 0, 40, 10:70], centres[10:70] * 10, atol=0.1)


@pytest.fixture(scope="module", params=pairs.FILES)
def pair(request: pytest.FixtureRequest, real_data: Path) -> tuple[str, Scene, NDArray]:
    """A name, its scene, and MS on PAN's grid, which is the same for all methods."""
    made_of = pairs.scene(real_data, request.param)
    return request.param, made_of, whole_arrays(made_of, pansharpener("brovey", made_of))["ms"][0].numpy()


@pytest.mark.real
@pytest.mark.parametrize("method", sorted(METHODS))
def test_real_pairs(method: str, pair: tuple[str, Scene, NDArray]) -> None:
    (name, made_of, ms), layout = pair, Settings(window=256, overlap=32)
    found = predict(made_of, pansharpener(method, made_of, layout), layout)["hrms"].compute()
    pairs.check_corners(found, made_of)
    shift = pairs.best_shift(found.values.astype(np.float64), ms)
    off = {"WorldView-2": 1, "Landsat 8": 0}[name]  # PAN and MS of WorldView-2 are a pixel apart as delivered
    assert np.abs(shift).max() <= off
