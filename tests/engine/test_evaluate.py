"""Metrics of a product are those of the whole scene, whoever measures it and however it was cut."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

from rsmtl.config import Settings
from rsmtl.dispatch import local_cluster, threads
from rsmtl.engine.classical import pansharpener
from rsmtl.engine.evaluate import evaluate
from rsmtl.engine.executor import SerialExecutor
from rsmtl.engine.product import write
from rsmtl.engine.stored import stored_array
from rsmtl.errors import InputError
from rsmtl.metrics import (
    Confusion,
    Ergas,
    FusedPart,
    NoReference,
    Psnr,
    Q2n,
    QIndex,
    Sam,
    Scc,
    Ssim,
    confusion_matrix,
    measure,
    scores,
)
from rsmtl.models.checkpoint import load_model
from rsmtl.models.model import Model
from rsmtl.models.spec import ClassSpec, HeadSpec
from rsmtl.scene.open import open_scene
from tests import fakes

SETTINGS = Settings(window=64, overlap=16, chunk=2)
CLASSES = tuple(ClassSpec(name=f"c{k}", color=(k * 40, 7, 255 - k)) for k in range(6))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A product of U-REC over 300×350 pixels with a ragged nodata area."""
    path = tmp_path_factory.mktemp("product")
    scene = open_scene(fakes.ragged_tiff(path / "scene.tif", 300, 350))
    model = load_model(fakes.random_checkpoint(path / "random.safetensors"))
    head = model.spec.head("segmentation").model_copy(update={"classes": CLASSES})
    spec = model.spec.model_copy(update={"heads": (head, model.spec.head("reconstruction"))})
    return write(scene, Model.from_module(model.module, spec), path / "out", SETTINGS).folder


def labels(folder: Path) -> NDArray[np.uint8]:
    """The product's own classes, some of them wrong, some ignored."""
    found = stored_array(folder, "segmentation").values.copy()
    rng = np.random.default_rng(0)
    wrong = rng.random(found.shape) < 0.3
    found[wrong] = rng.integers(0, 6, wrong.sum())
    found[:, 100:120] = 255
    return found


def executors():
    return {"serial": lambda: None, "threads": lambda: threads(3), "processes": lambda: local_cluster(2)}


@pytest.mark.parametrize("who", executors())
def test_classes_are_counted_as_in_one_piece(who: str, folder: Path, tmp_path: Path) -> None:
    truth = labels(folder)
    path = fakes.write_tiff(tmp_path / "truth.tif", truth)
    found = _evaluated(who, folder, path, without=("c5",))
    predicted = stored_array(folder, "segmentation").values
    known = (truth != 255) & (predicted != 255)
    expected = confusion_matrix(truth[known], predicted[known], 6)
    result = found.results["segmentation"]
    assert result["confusion"] == expected.tolist()
    assert result["mean_iou"] == scores(expected).mean_iou
    assert result["mean_iou_without"] == pytest.approx(np.nanmean(scores(expected).iou[:5]))


def _evaluated(who: str, folder: Path, truth: Path, without: tuple[str, ...] = ()):
    if who == "serial":
        return evaluate(folder, truth, without=without)
    with executors()[who]() as executor:
        return evaluate(folder, truth, without=without, executor=executor)


@pytest.mark.parametrize("who", executors())
def test_continuous_values_are_measured_as_in_one_piece(who: str, folder: Path, tmp_path: Path) -> None:
    with rasterio.open(folder.parents[1] / "scene.tif") as file:
        image = file.read()
    truth = fakes.write_tiff(tmp_path / "truth.tif", image, nodata=0)
    result = _evaluated(who, folder, truth).results["reconstruction"]
    estimate = stored_array(folder, "reconstruction").values
    valid = (image != 0).all(axis=0) & (estimate != 0).all(axis=0)
    assert 0.3 < valid.mean() < 0.9
    expected: dict[str, float] = {}
    for metric in (Psnr(2047.0), Ssim(2047.0), QIndex(), Q2n(), Sam(), Ergas(1), Scc()):
        expected |= measure(metric, image.astype(np.float64), estimate.astype(np.float64), valid)
    assert result == pytest.approx({**expected, "data_range": 2047.0}, rel=1e-9)


def test_colours_of_the_classes_are_labels(folder: Path, tmp_path: Path) -> None:
    truth = labels(folder)[0]
    colours = np.full((3, *truth.shape), 9, dtype=np.uint8)
    for index, one in enumerate(CLASSES):
        colours[:, truth == index] = np.reshape(one.color, (3, 1))
    path = fakes.write_tiff(tmp_path / "colours.tif", colours, nodata=9)
    numbers = fakes.write_tiff(tmp_path / "numbers.tif", truth[None])
    ours, theirs = (evaluate(folder, {"segmentation": p}).sums["segmentation"][0] for p in (path, numbers))
    np.testing.assert_array_equal(ours, theirs)
    colours[:, 3, 300] = 200
    other = fakes.write_tiff(tmp_path / "other.tif", colours)
    with pytest.raises(InputError, match="has a colour that is none of its classes': give class numbers, or"):
        evaluate(folder, {"segmentation": other})


def test_a_label_that_is_no_class_is_refused(folder: Path, tmp_path: Path) -> None:
    truth = np.full((1, 300, 350), 17, np.uint8)
    path = fakes.write_tiff(tmp_path / "truth.tif", truth)
    with pytest.raises(
        InputError, match="'segmentation' has label 17, the classes are 0 to 5 and 255 for what"
    ):
        evaluate(folder, path)


def test_another_grid_is_refused(folder: Path, tmp_path: Path) -> None:
    path = fakes.write_tiff(tmp_path / "truth.tif", np.zeros((1, 300, 350), np.uint8))
    with rasterio.open(path, "r+") as file:
        file.transform = file.transform @ Affine.translation(0.5, 0)
    with pytest.raises(
        InputError,
        match=r"must lie on the grid of 'segmentation' \(EPSG:32632, 300×350 px .*\), but lies on EPSG",
    ):
        evaluate(folder, path)
    small = fakes.write_tiff(tmp_path / "small.tif", np.zeros((1, 30, 35), np.uint8))
    with pytest.raises(InputError, match=r"the truth has 1 band\(s\) of 30×35 px, which fits no head of"):
        evaluate(folder, small)


def test_heads_and_classes_that_do_not_exist_are_refused(folder: Path, tmp_path: Path) -> None:
    path = fakes.write_tiff(tmp_path / "truth.tif", labels(folder))
    with pytest.raises(InputError, match=r"no head 'sr' in .*: its heads are segmentation, reconstruction"):
        evaluate(folder, {"sr": path})
    with pytest.raises(InputError, match="no class 'clutter': the classes are c0, c1, c2, c3, c4, c5"):
        evaluate(folder, path, without=("clutter",))
    with pytest.raises(
        InputError, match="has no pansharpened head, which alone can be measured without truth"
    ):
        evaluate(folder)
    with pytest.raises(InputError, match="there is no product in"):
        evaluate(tmp_path)


def test_a_finer_head_is_measured_on_its_own_grid(tmp_path: Path) -> None:
    image = (fakes.textured((1, 70, 90)) * 1000).astype(np.uint16)
    scene = open_scene(fakes.write_tiff(tmp_path / "scene.tif", image))
    product = write(scene, fakes.upsampler(), tmp_path / "out", SETTINGS)
    truth = image.repeat(4, axis=1).repeat(4, axis=2)
    path = tmp_path / "truth.tif"
    transform = Affine(0.125, 0, 500_000, 0, -0.125, 5_000_000)
    options = {"dtype": "uint16", "crs": fakes.CRS, "transform": transform}
    with rasterio.open(path, "w", "GTiff", 360, 280, 1, **options) as file:
        file.write(truth)
    result = evaluate(product.folder, path).results["sr"]
    assert result["psnr_db"] == np.inf
    assert result["ergas"] == 0
    assert result["ssim"] == pytest.approx(1)


def pansharpened(path: Path) -> Path:
    """A product of Brovey on a 4:1 pair, on the disk."""
    fine = 100 + fakes.textured((3, 320, 352), seed=3) * 1800
    ms = fine.reshape(3, 80, 4, 88, 4).mean(axis=(2, 4)).astype(np.uint16)
    fakes.write_tiff(path / "pan.tif", fine.mean(axis=0, keepdims=True).astype(np.uint16))
    with rasterio.open(
        path / "ms.tif", "w", "GTiff", 88, 80, 3, dtype="uint16", crs=fakes.CRS,
        transform=Affine(2, 0, 500_000, 0, -2, 5_000_000),
    ) as file:  # fmt: skip
        file.write(ms)
    scene = open_scene({"pan": path / "pan.tif", "ms": path / "ms.tif"})
    return write(scene, pansharpener("brovey", scene, SETTINGS), path / "out", SETTINGS).folder


def test_a_pansharpened_head_is_measured_without_truth(tmp_path: Path) -> None:
    folder = pansharpened(tmp_path)
    with rasterio.open(tmp_path / "pan.tif") as pan_file, rasterio.open(tmp_path / "ms.tif") as ms_file:
        pan, ms = pan_file.read().astype(np.float64), ms_file.read().astype(np.float64)
    fused = stored_array(folder, "hrms").values.astype(np.float64)
    metric = NoReference(4)
    own = slice(0, 80), slice(0, 88)
    expected = metric.result(metric.sums(FusedPart(pan, ms, fused, np.ones((80, 88), bool), own)))
    with threads(2) as two, local_cluster(2) as processes:
        for executor in (SerialExecutor(), two, processes):
            assert evaluate(folder, executor=executor).results["hrms"] == pytest.approx(expected, rel=1e-9)
    assert 0.5 < expected["qnr"] < 1


def test_two_classes_of_one_sigmoid(tmp_path: Path) -> None:
    """One channel, two classes: the truth counts both."""
    head = HeadSpec(name="segmentation", channels=1, kind="classes", activation="sigmoid")
    from tests.fakes import Identity, one_input_model

    class Named(Identity):
        def forward(self, image):
            return {"segmentation": image - 0.5}

    image = fakes.textured((1, 60, 70)).astype(np.float32)
    scene = open_scene(fakes.write_tiff(tmp_path / "scene.tif", image))
    product = write(scene, one_input_model(Named(), 1, head), tmp_path / "out", SETTINGS)
    truth = fakes.write_tiff(tmp_path / "truth.tif", (image > 0.5).astype(np.uint8))
    result = evaluate(product.folder, truth).results["segmentation"]
    assert result["overall_accuracy"] == 1
    assert set(result["iou"]) == {"class 0", "class 1"}
    assert isinstance(Confusion(("class 0", "class 1")).context_px, int)
