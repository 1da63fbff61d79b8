"""Metrics of a product are those of the whole scene, whoever measures it and however it was cut."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from torch import Tensor, nn

from rsmtl.config import Settings
from rsmtl.datasets.dubai import MASK_COLORS
from rsmtl.datasets.files import decode_colors, read_rgb
from rsmtl.dispatch import ClusterExecutor, threads
from rsmtl.engine.classical import METHODS, pansharpener
from rsmtl.engine.evaluate import evaluate
from rsmtl.engine.executor import Executor, SerialExecutor
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
from rsmtl.models.spec import ClassSpec, HeadSpec, InputSpec, ModelSpec
from rsmtl.scene.open import open_scene
from rsmtl.scene.scene import Scene
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
    settings = SETTINGS.model_copy(update={"heads": fakes.UREC_HEADS})
    return write(scene, Model.from_module(model.module, spec), path / "out", settings).folder


def labels(folder: Path) -> NDArray[np.uint8]:
    """The product's own classes, some of them wrong, some ignored."""
    found = stored_array(folder, "segmentation").values.copy()
    rng = np.random.default_rng(0)
    wrong = rng.random(found.shape) < 0.3
    found[wrong] = rng.integers(0, 6, wrong.sum())
    found[:, 100:120] = 255
    return found


def test_classes_are_counted_as_in_one_piece(executor: Executor, folder: Path, tmp_path: Path) -> None:
    truth = labels(folder)
    path = fakes.write_tiff(tmp_path / "truth.tif", truth)
    found = evaluate(folder, path, without=("c5",), executor=executor)
    predicted = stored_array(folder, "segmentation").values
    known = (truth != 255) & (predicted != 255)
    expected = confusion_matrix(truth[known], predicted[known], 6)
    result = found.results["segmentation"]
    assert result["confusion"] == expected.tolist()
    assert result["mean_iou"] == scores(expected).mean_iou
    assert result["mean_iou_without"] == pytest.approx(np.nanmean(scores(expected).iou[:5]))


def test_continuous_values_are_measured_as_in_one_piece(
    executor: Executor, folder: Path, tmp_path: Path
) -> None:
    with rasterio.open(folder.parents[1] / "scene.tif") as file:
        image = file.read()
    truth = fakes.write_tiff(tmp_path / "truth.tif", image, nodata=0)
    result = evaluate(folder, truth, executor=executor).results["reconstruction"]
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
    colours[:, :120] = 200
    other = fakes.write_tiff(tmp_path / "other.tif", colours)
    with pytest.raises(
        InputError,
        match=r"41\.99% of the pixels of the truth of 'segmentation' have a colour that is no class's, such as "
        r"#C8C8C8; up to 25% may, .*: give class numbers, with 255 for .* colours \(c0 #0007FF, c1 #2807FE",
    ):
        evaluate(folder, {"segmentation": other})


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A product whose classes have other colours in label images than those shown."""
    path = tmp_path_factory.mktemp("drawn")
    return write(fakes.make_scene(fakes.textured((3, 96, 96))), class_mixer_of(DRAWN), path, SETTINGS).folder


DRAWN = tuple(ClassSpec(name=f"c{k}", color=(k, 9, 9), mask_color=(250 - k, 40 * k, 255)) for k in range(6))


def class_mixer_of(classes: tuple[ClassSpec, ...]) -> Model:
    mixer = fakes.class_mixer()
    head = mixer.spec.heads[0].model_copy(update={"classes": classes})
    return Model.from_module(mixer.module, mixer.spec.model_copy(update={"heads": (head,)}))


def drawn_labels() -> NDArray[np.int64]:
    """Labels `(96, 96)` of six classes; 6 is of none (a twelfth of the pixels)."""
    found = np.random.default_rng(1).integers(0, 6, (96, 96))
    found[40:48] = 6
    return found


def numbers_of(labels: NDArray[np.int64], path: Path) -> Path:
    return fakes.write_tiff(path, np.where(labels == 6, 255, labels)[None].astype(np.uint8))


def write_palette(path: Path, numbers: NDArray[np.integer], colors: dict[int, tuple[int, ...]]) -> Path:
    fakes.write_tiff(path.with_suffix(".plain.tif"), numbers[None].astype(np.uint8))
    with rasterio.open(path.with_suffix(".plain.tif")) as plain:
        profile = plain.profile
    with rasterio.open(path, "w", **profile) as file:
        file.write(numbers.astype(np.uint8), 1)
        file.write_colormap(1, {index: (*color, 255) for index, color in colors.items()})
    return path


@pytest.mark.parametrize("shown", [False, True])
def test_labels_have_the_colours_of_label_images_or_those_shown(
    executor: Executor, drawn: Path, tmp_path: Path, *, shown: bool
) -> None:
    labels = drawn_labels()
    colors = [one.color if shown else one.mask_color for one in DRAWN]
    image = np.moveaxis(np.array([*colors, (155, 155, 155)], dtype=np.uint8)[labels], -1, 0)
    found = evaluate(drawn, fakes.write_tiff(tmp_path / "c.tif", image), executor=executor)
    expected = evaluate(drawn, numbers_of(labels, tmp_path / "n.tif"), executor=executor)
    np.testing.assert_array_equal(found.sums["segmentation"][0], expected.sums["segmentation"][0])
    assert found.results["segmentation"]["n_px_unlabelled"] == 8 * 96
    assert found.notes == (
        "8.33% of the pixels (768) of the truth of 'segmentation' have a colour that is no class's, such as #9B9B9B, "
        "and do not count",
    )
    assert expected.notes == ()


def test_colours_of_a_colour_table_outrank_its_numbers(
    executor: Executor, drawn: Path, tmp_path: Path
) -> None:
    labels, colors = drawn_labels(), {6 - k: one.mask_color for k, one in enumerate(DRAWN)}
    path = write_palette(tmp_path / "p.tif", 6 - labels, {**colors, 0: (155, 155, 155)})
    found = evaluate(drawn, path, executor=executor)
    expected = evaluate(drawn, numbers_of(labels, tmp_path / "n.tif"), executor=executor)
    np.testing.assert_array_equal(found.sums["segmentation"][0], expected.sums["segmentation"][0])
    disagree = f"{int(((labels != 6) & (6 - labels != labels)).sum()):,}"
    assert found.notes[0].endswith(f"not as class numbers: they disagree in {disagree} pixels")
    assert "(768)" in found.notes[1]


def test_a_colour_table_of_other_colours_is_of_numbers(drawn: Path, tmp_path: Path) -> None:
    """Also where one of them is by chance a class's."""
    labels = np.where(drawn_labels() == 6, 255, drawn_labels())
    path = write_palette(
        tmp_path / "p.tif", labels, {0: DRAWN[1].color, **dict.fromkeys(range(1, 6), (1, 2, 3))}
    )
    found = evaluate(drawn, path)
    expected = evaluate(drawn, numbers_of(drawn_labels(), tmp_path / "n.tif"))
    np.testing.assert_array_equal(found.sums["segmentation"][0], expected.sums["segmentation"][0])
    assert "are read as class numbers: " in found.notes[0]
    assert "n_px_unlabelled" not in found.results["segmentation"]


def test_a_colour_table_that_agrees_with_the_numbers_says_nothing(drawn: Path, tmp_path: Path) -> None:
    labels = np.where(drawn_labels() == 6, 255, drawn_labels())
    found = evaluate(
        drawn, write_palette(tmp_path / "p.tif", labels, {k: c.color for k, c in enumerate(DRAWN)})
    )
    assert (found.notes, found.results["segmentation"]["n_px_unlabelled"]) == ((), 0)


def test_truth_of_a_named_head_has_its_bands(drawn: Path, tmp_path: Path) -> None:
    truth = fakes.write_tiff(tmp_path / "c.tif", np.zeros((4, 96, 96), dtype=np.uint16))
    with pytest.raises(
        InputError, match=r"'segmentation' has 4 band\(s\), it must have 1 or 3: give the truth of"
    ):
        evaluate(drawn, {"segmentation": truth})


def test_a_colour_of_two_classes_says_nothing(tmp_path: Path) -> None:
    alike = tuple(ClassSpec(name=f"c{k}", color=(7, 7, 7)) for k in range(6))
    scene = fakes.make_scene(fakes.textured((3, 96, 96)))
    folder = write(scene, class_mixer_of(alike), tmp_path / "out", SETTINGS).folder
    truth = fakes.write_tiff(tmp_path / "c.tif", np.full((3, 96, 96), 7, dtype=np.uint8))
    with pytest.raises(InputError, match=r"100\.00% of the pixels .* \(several of which have one\)"):
        evaluate(folder, truth)


@pytest.mark.real
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("image", ["tile2/image_part_006", "tile1/image_part_002"])
def test_the_dubai_masks_are_truth_as_they_come(image: str, real_data: Path, tmp_path: Path) -> None:
    """A colour table in an order of its own with 13 % of grey, and three bands."""
    stem = real_data / "dubai" / image
    scene = open_scene({"image": stem.with_suffix(".jpg")}, allow_no_crs=True)
    folder = write(scene, load_model("urec-dubai"), tmp_path / "out", Settings()).folder
    found = evaluate(folder, stem.with_suffix(".png"))
    labels = decode_colors(read_rgb(stem.with_suffix(".png")), MASK_COLORS)
    predicted = stored_array(folder, "segmentation").values[0]
    expected = confusion_matrix(labels, predicted, 5)
    assert found.results["segmentation"]["confusion"] == expected.tolist()
    assert found.results["segmentation"]["n_px_unlabelled"] == (labels == 255).sum()


def test_a_label_that_is_no_class_is_refused(folder: Path, tmp_path: Path) -> None:
    truth = np.full((1, 300, 350), 17, np.uint8)
    path = fakes.write_tiff(tmp_path / "truth.tif", truth)
    with pytest.raises(
        InputError, match="'segmentation' has label 17, the classes are 0 to 5 and 255 for what"
    ):
        evaluate(folder, path)


@pytest.mark.parametrize(
    ("label", "sentence"),
    [
        (-1, "has label -1, the classes are 0 to 5 and 255 for what does not count: renumber it"),
        (0.7, "has label 0.7, which is no whole number: give the number of each pixel's class, not its"),
    ],
)
def test_labels_that_are_none_are_refused(label: float, sentence: str, folder: Path, tmp_path: Path) -> None:
    truth = labels(folder).astype(np.float32)
    truth[0, 280, 300] = label
    with pytest.raises(InputError, match=sentence):
        evaluate(folder, fakes.write_tiff(tmp_path / "truth.tif", truth))


def test_a_mask_of_0_and_255_is_refused(folder: Path, tmp_path: Path) -> None:
    """All of its foreground would be left out without a word."""
    mask = np.where(labels(folder) > 2, 255, 0).astype(np.uint8)
    with pytest.raises(
        InputError, match="has no labels but 0 and 255, which does not count: number its classes from"
    ):
        evaluate(folder, fakes.write_tiff(tmp_path / "mask.tif", mask))
    meant = evaluate(folder, fakes.write_tiff(tmp_path / "meant.tif", mask, nodata=255))
    assert 0 < meant.results["segmentation"]["n_px"] < (mask == 0).sum() + 1


def test_classes_cannot_be_left_out_of_what_has_none(folder: Path) -> None:
    with pytest.raises(
        InputError, match="classes can be left out of a comparison with truth only: give the truth"
    ):
        evaluate(folder, without=("c5",))
    image = folder.parents[1] / "scene.tif"
    with pytest.raises(
        InputError, match="can be left out of a class map only, the truth is that of reconstruction: l"
    ):
        evaluate(folder, image, without=("c5",))


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


def pair(path: Path) -> Scene:
    """A 4:1 pair on the disk, and beside it what pansharpening should give; DN of 11 bits."""
    fine = 100 + fakes.textured((3, 320, 352), seed=3) * 1800
    ms = fine.reshape(3, 80, 4, 88, 4).mean(axis=(2, 4)).astype(np.uint16)
    fakes.write_tiff(path / "truth.tif", fine.astype(np.uint16))
    fakes.write_tiff(path / "pan.tif", fine.mean(axis=0, keepdims=True).astype(np.uint16))
    with rasterio.open(
        path / "ms.tif", "w", "GTiff", 88, 80, 3, dtype="uint16", crs=fakes.CRS,
        transform=Affine(2, 0, 500_000, 0, -2, 5_000_000),
    ) as file:  # fmt: skip
        file.write(ms)
    return open_scene({"pan": path / "pan.tif", "ms": path / "ms.tif"})


def pansharpened(path: Path, method: str = "brovey") -> Path:
    """A product of a classical method on the pair."""
    scene = pair(path)
    return write(scene, pansharpener(method, scene, SETTINGS), path / "out", SETTINGS).folder


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize(("dtype", "factor"), [("uint16", 1), ("float32", 0.01)])
def test_classical_methods_refer_to_the_values_and_gsds_of_the_scene(
    method: str, dtype: str, factor: float, tmp_path: Path
) -> None:
    """Their spec has neither: MS lies on PAN's grid, and values are what they are."""
    folder = pansharpened(tmp_path, method)
    with rasterio.open(tmp_path / "truth.tif") as file:
        truth = (file.read() * factor).astype(dtype)
    other = fakes.write_tiff(tmp_path / "other.tif", truth)
    found = evaluate(folder, other).results["hrms"]
    estimate = stored_array(folder, "hrms").values.astype(np.float64)
    data_range = 2047.0 if dtype == "uint16" else float(truth.max())
    assert found["data_range"] == data_range
    for metric in (Psnr(data_range), Ssim(data_range), Ergas(Fraction(1, 4))):
        for name, value in measure(metric, truth.astype(np.float64), estimate).items():
            assert found[name] == pytest.approx(value, rel=1e-9), name
    with threads(2) as two:
        assert evaluate(folder, other, executor=two).results["hrms"] == pytest.approx(found)


def test_the_range_of_stored_numbers_is_scaled_as_they_are(tmp_path: Path) -> None:
    """Reflectance in steps of 1/10000: the same PSNR as that of its DN."""
    plain, scaled = tmp_path / "plain", tmp_path / "scaled"
    found = []
    for path in (plain, scaled):
        path.mkdir()
        pair(path)
        for name in ("pan", "ms", "truth"):
            with rasterio.open(path / f"{name}.tif", "r+") as file:
                file.scales = (1e-4 if path == scaled else 1.0,) * file.count
        scene = open_scene({"pan": path / "pan.tif", "ms": path / "ms.tif"})
        folder = write(scene, pansharpener("gsa", scene, SETTINGS), path / "out", SETTINGS).folder
        found.append(evaluate(folder, path / "truth.tif").results["hrms"])
    assert found[1]["data_range"] == pytest.approx(0.2047)
    assert found[1]["psnr_db"] == pytest.approx(found[0]["psnr_db"], abs=0.01)
    assert found[1]["ssim"] == pytest.approx(found[0]["ssim"], abs=1e-3)


def test_a_pansharpened_head_of_other_bands_is_not_measured_without_truth(tmp_path: Path) -> None:
    scene = pair(tmp_path)
    spec = ModelSpec(
        system="two of three",
        inputs=(InputSpec(name="pan", channels=1), InputSpec(name="ms", channels=3)),
        heads=(HeadSpec(name="hrms", channels=2, kind="continuous", like="ms"),),
    )

    class TwoOfThree(nn.Module):
        def forward(self, pan: Tensor, ms: Tensor) -> dict[str, Tensor]:
            return {"hrms": ms[:, :2] + pan - pan}

    folder = write(scene, Model.from_module(TwoOfThree(), spec), tmp_path / "out", SETTINGS).folder
    with pytest.raises(
        InputError,
        match=r"compares band with band, but 'hrms' in .* has 2 band\(s\) and MS 3: say with --truth what",
    ):
        evaluate(folder)


@pytest.mark.parametrize("edge", [352, 240, 480])
def test_inputs_that_changed_since_are_not_measured(edge: int, tmp_path: Path) -> None:
    folder = pansharpened(tmp_path)
    fakes.write_tiff(tmp_path / "pan.tif", np.full((1, 320, edge), 700, np.uint16))
    with pytest.raises(
        InputError,
        match=r"scene 'pan' has changed since its product was made \(.*pan.tif\): put its files back as",
    ):
        evaluate(folder)


def test_pan_smaller_than_a_pixel_of_ms_is_a_sentence(tmp_path: Path) -> None:
    pair(tmp_path)
    fakes.write_tiff(tmp_path / "pan.tif", np.full((1, 3, 40), 700, np.uint16))
    scene = open_scene({"pan": tmp_path / "pan.tif", "ms": tmp_path / "ms.tif"})
    folder = write(scene, pansharpener("brovey", scene, SETTINGS), tmp_path / "out", SETTINGS).folder
    with pytest.raises(
        InputError, match="needs a whole MS pixel at least, PAN of scene 'pan' is smaller than one: s"
    ):
        evaluate(folder)


def test_a_pansharpened_head_is_measured_without_truth(workers: ClusterExecutor, tmp_path: Path) -> None:
    folder = pansharpened(tmp_path)
    with rasterio.open(tmp_path / "pan.tif") as pan_file, rasterio.open(tmp_path / "ms.tif") as ms_file:
        pan, ms = pan_file.read().astype(np.float64), ms_file.read().astype(np.float64)
    fused = stored_array(folder, "hrms").values.astype(np.float64)
    metric = NoReference(4)
    own = slice(0, 80), slice(0, 88)
    expected = metric.result(metric.sums(FusedPart(pan, ms, fused, np.ones((80, 88), bool), own)))
    with threads(2) as two:
        for executor in (SerialExecutor(), two, workers):
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
