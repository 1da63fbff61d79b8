"""Scenes of one's own, from GeoTIFF and Zarr."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from rsmtl.datasets import ScenesData, load_splits
from rsmtl.errors import InputError
from rsmtl.losses import IGNORE
from rsmtl.prepare import prepare
from tests.scene.rasters import grid, image, write_raster

CLASSES = ({"name": "a", "color": (255, 0, 0)}, {"name": "b", "color": (0, 255, 0)})


def data(**changed: object) -> ScenesData:
    files = {"image": "image.tif", "segmentation": "labels.tif"}
    values = {
        "train": [files],
        "validation": [{name: f"other/{file}" for name, file in files.items()}],
        "bands": {"image": ("red", "green", "blue")},
        "classes": CLASSES,
        "radiometry": {"image": {"low": [0], "high": [2047]}},
    }
    return ScenesData.model_validate({**values, **changed})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pixels = image(3, 96, 128)
    (tmp_path / "other").mkdir()
    for folder in (tmp_path, tmp_path / "other"):
        write_raster(folder / "image.tif", pixels)
        write_raster(folder / "labels.tif", (pixels[:1] > pixels[0].mean()).astype(np.uint8))
    return tmp_path


def test_windows_of_geotiffs(folder: Path) -> None:
    splits = load_splits(data(), folder)
    (scene,) = splits.train
    assert scene.shape == (96, 128)
    window = scene.read(slice(8, 40), slice(64, 128))
    expected = image(3, 96, 128)[:, 8:40, 64:128]
    assert np.allclose(window["image"].numpy() * 2047, expected, atol=1e-2)
    labels = (expected[0] > image(3, 96, 128)[0].mean()).astype(np.int64)
    assert torch.equal(window["segmentation"], torch.from_numpy(labels))


def test_the_gsd_is_that_of_the_files_also_once_they_are_prepared(folder: Path, tmp_path: Path) -> None:
    assert load_splits(data(), folder).gsd_m == pytest.approx(10, rel=1e-3)
    prepare(data(), folder, tmp_path / "prepared" / "scenes.zarr")
    assert load_splits(data(), tmp_path / "prepared").gsd_m == pytest.approx(10, rel=1e-3)


def test_percentiles_of_each_scene_unless_said(folder: Path) -> None:
    (scene,) = load_splits(data(radiometry={}), folder).train
    whole = scene.read(slice(0, 96), slice(0, 128))["image"].numpy()
    assert np.allclose(np.percentile(whole, (2, 98), axis=(1, 2)), [[0] * 3, [1] * 3], atol=1e-3)


def test_nodata_has_no_label(folder: Path) -> None:
    pixels = image(3, 96, 128)
    pixels[:, :10] = 0
    write_raster(folder / "image.tif", pixels, nodata=0)
    (scene,) = load_splits(data(), folder).train
    labels = scene.read(slice(0, 20), slice(0, 20))["segmentation"]
    assert (labels[:10] == IGNORE).all()
    assert (labels[10:] != IGNORE).all()


def test_it_can_be_prepared(folder: Path) -> None:
    prepare(data(), folder, folder / "scenes.zarr")
    (scene,) = load_splits(data(), folder).train
    window = scene.read(slice(8, 40), slice(64, 128))
    assert np.allclose(window["image"].numpy() * 2047, image(3, 96, 128)[:, 8:40, 64:128], atol=1e-2)


def test_a_label_of_no_class(folder: Path) -> None:
    write_raster(folder / "labels.tif", np.full((1, 96, 128), 7, np.uint8))
    (scene,) = load_splits(data(), folder).train
    with pytest.raises(
        InputError, match=r"label 7 in .*labels\.tif is none of the 2 classes: list its class in"
    ):
        scene.read(slice(0, 8), slice(0, 8))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"bands": {"image": ("red", "green")}},
            r"image\.tif has 3 band\(s\), `data\.bands` names 2 for 'image'",
        ),
        (
            {"train": [{"segmentation": "labels.tif"}]},
            r"a scene needs a layer `image` or `pan`, got segmentation",
        ),
        (
            {"train": [{"image": "image.tif", "segmentation": "odd.tif"}]},
            r"odd\.tif has \(90, 128\) pixels, the scene's reference \(96, 128\): layers of a training must cover",
        ),
        ({"train": [{"image": "nowhere.tif"}]}, r"nowhere\.tif"),
    ],
)
def test_wrong_scenes(folder: Path, changed: dict[str, object], sentence: str) -> None:
    write_raster(folder / "odd.tif", np.zeros((1, 90, 128), np.uint8))
    with pytest.raises(InputError, match=sentence):
        load_splits(data(**changed), folder)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"test": [{"image": "image.tif"}]},
            r"image\.tif is in two splits, \w+ and \w+: a scene belongs to one",
        ),
        ({"classes": (CLASSES[0], CLASSES[0])}, "the names of classes must differ, got a, a"),
        (
            {"radiometry": {"image": {"low": [0, 0], "high": [1, 1]}}},
            "has 2 numbers for 3 bands: give one, or one",
        ),
        (
            {"radiometry": {"image": {"kind": "percentile", "low": [2], "high": [500]}}},
            "percentiles lie between 0 and 100",
        ),
    ],
)
def test_configurations_that_cannot_be(changed: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        data(**changed)


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"transform": grid(dx=10_000)},
        {"transform": grid(dx=5)},
        {"transform": grid(gsd=20)},
        {"crs": "EPSG:32632"},
    ],
)
@pytest.mark.parametrize("layer", ["segmentation", "image"])
def test_labels_of_another_place_are_refused_by_train_and_prepare(
    folder: Path, elsewhere: dict[str, object], layer: str
) -> None:
    name = {"segmentation": "labels.tif", "image": "image.tif"}[layer]
    write_raster(folder / name, image(1 if layer == "segmentation" else 3, 96, 128, "uint8") % 2, **elsewhere)
    with pytest.raises(InputError, match=r"^labels\.tif must lie on the grid of the scene's reference"):
        load_splits(data(), folder)
    found = prepare(data(), folder, folder / "prepared.zarr")
    assert [sentence.startswith("labels.tif must lie on") for sentence in found.missing.values()] == [True]
