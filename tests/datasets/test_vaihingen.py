import pickle
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from rsmtl.datasets.scene import LABELS, open_splits
from rsmtl.datasets.vaihingen import AREAS, VaihingenData
from rsmtl.errors import InputError
from rsmtl.losses import IGNORE
from tests.datasets.vaihingen_fake import ALL, SHAPE, borders, labels_of, write_fake_vaihingen, write_raster

ARCHIVE = "ISPRS_semantic_labeling_Vaihingen"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vaihingen")
    write_fake_vaihingen(folder)
    return folder


def test_published_areas():
    assert len(ALL) == 33
    assert [len(AREAS["urec"][split]) for split in ("train", "validation", "test")] == [14, 2, 17]
    assert AREAS["srseg"]["test"] == (11, 15, 28, 30, 34)
    eleven = (1, 3, 5, 7, 13, 17, 21, 23, 26, 32, 37)
    assert sorted(AREAS["srseg"]["train"] + AREAS["srseg"]["validation"]) == sorted(eleven)


@pytest.mark.parametrize("split", ["urec", "srseg"])
def test_no_area_is_in_two_splits(folder: Path, split: str):
    data = VaihingenData(split=split)
    splits = open_splits(data.about(), data.sources(folder))
    parts = splits.train, splits.validation, splits.test
    names = [scene.name for part in parts for scene in part]
    assert len(names) == len(set(names))
    for part, wanted in zip(parts, ("train", "validation", "test"), strict=True):
        assert [scene.name for scene in part] == [f"area{area}" for area in AREAS[split][wanted]]
    assert all(int(s.layers["image"].values[0, 0, 0]) == int(s.name[4:]) for part in parts for s in part)


def test_layers_and_classes(folder: Path):
    data = VaihingenData()
    about = data.about()
    assert about.bands == {"image": ("nir", "red", "green")}
    assert [c.name for c in about.classes] == [
        "impervious surface",
        "building",
        "low vegetation",
        "tree",
        "car",
        "clutter",
    ]
    (scene,) = data.sources(folder)[0].open().values()
    assert scene.shape == SHAPE
    assert scene.layers["image"].values.shape == (3, *SHAPE)
    assert scene.layers["image"].values[:].dtype == np.uint8
    np.testing.assert_array_equal(scene.layers[LABELS].values[:], labels_of(1))
    window = scene.read(slice(0, 64), slice(0, 64))
    assert float(window["image"].max()) <= 1.0
    assert window["image"][1, 0, 0] == pytest.approx(2 / 255)


def test_eroded_borders_do_not_count(folder: Path):
    (scene,) = VaihingenData(truth="eroded").sources(folder)[0].open().values()
    wanted = np.where(borders(labels_of(1)), IGNORE, labels_of(1))
    np.testing.assert_array_equal(scene.layers[LABELS].values[:], wanted)


def test_truth_for_participants_is_enough_for_srseg(tmp_path: Path):
    write_fake_vaihingen(tmp_path, truths=("participants",))
    data = VaihingenData(split="srseg")
    assert len(open_splits(data.about(), data.sources(tmp_path)).train) == 9
    by_name = {source.name: source for source in VaihingenData().sources(tmp_path)}
    with pytest.raises(
        InputError, match=r"there is no truth for .*area2\.tif: expected .*truth_COMPLETE/top"
    ):
        by_name["area2"].read()


def test_images_may_lie_directly_in_the_folder(tmp_path: Path):
    write_fake_vaihingen(tmp_path)
    (tmp_path / ARCHIVE / "top").rename(tmp_path / "top")
    assert VaihingenData().sources(tmp_path)[0].open()["train"].shape == SHAPE


def test_a_source_travels(folder: Path):
    source = pickle.loads(pickle.dumps(VaihingenData().sources(folder)[0]))
    assert set(source.read()) == {"image", LABELS}


def test_nothing_there(tmp_path: Path):
    with pytest.raises(InputError, match=r"there are no images in .*: the Vaihingen data set has top/"):
        VaihingenData().sources(tmp_path)


def test_missing_broken_and_misfit_files(tmp_path: Path):
    write_fake_vaihingen(tmp_path, truths=("COMPLETE",))
    top = tmp_path / ARCHIVE / "top"
    (top / "top_mosaic_09cm_area3.tif").unlink()
    (top / "top_mosaic_09cm_area5.tif").write_bytes(b"II*\0")
    write_raster(top / "top_mosaic_09cm_area7.tif", np.zeros((3, 50, 60), dtype=np.uint8))
    write_raster(top / "top_mosaic_09cm_area11.tif", np.zeros((1, *SHAPE), dtype=np.uint8))
    by_name = {source.name: source for source in VaihingenData().sources(tmp_path)}
    assert len(by_name) == 33
    for name, message in {
        "area3": r"cannot read .*area3\.tif as a raster",
        "area5": r"cannot read .*area5\.tif as a raster",
        "area7": r"the truth of .*area7\.tif has \(96, 104\) pixels, the image \(50, 60\)",
        "area11": r"area11\.tif has 1 band\(s\), expected 3",
    }.items():
        with pytest.raises(InputError, match=message):
            by_name[name].read()
    assert by_name["area1"].read()


def test_unknown_split():
    with pytest.raises(ValidationError):
        VaihingenData(split="contest")
