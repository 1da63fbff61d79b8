import pickle
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from rsmtl.datasets.scene import LABELS, open_splits
from rsmtl.datasets.thetford import ThetfordData
from rsmtl.errors import InputError
from rsmtl.losses import IGNORE
from tests.datasets.thetford_fake import TEST, TRAINING, map_of, write_fake_thetford
from tests.datasets.vaihingen_fake import write_raster


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_fake_thetford(tmp_path)
    return tmp_path


def test_a_quarter_of_the_training_scene_is_held_out(folder: Path):
    data = ThetfordData()
    splits = open_splits(data.about(), data.sources(folder))
    assert [s.name for s in splits.train] == [s.name for s in splits.validation] == ["training"]
    assert [s.name for s in splits.test] == ["test"]
    assert splits.test[0].rectangles == ((slice(0, TEST[0]), slice(0, TEST[1])),)
    times = np.zeros(TRAINING, dtype=int)
    for scene in (splits.train[0], splits.validation[0]):
        for area in scene.rectangles:
            times[area] += 1
            assert min(side.stop - side.start for side in area) >= 64
    assert (times == 1).all()
    assert splits.validation[0].areas == ((slice(0, 72), slice(0, 80)),)


def test_layers_and_classes(folder: Path):
    data = ThetfordData()
    assert data.about().bands == {"image": ("red", "green", "blue")}
    names = [c.name for c in data.about().classes]
    assert names == ["road", "tree", "red roof", "grey roof", "concrete roof", "vegetation"]
    for source, shape in zip(data.sources(folder), (TRAINING, TEST), strict=True):
        layers = source.read()
        assert layers["image"].values.shape == (3, *shape)
        assert float(layers["image"].read(slice(0, 64), slice(0, 64)).max()) <= 1.0
        numbered = map_of(shape)
        wanted = np.where((numbered == 0) | (numbered == 7), IGNORE, numbered - 1)
        np.testing.assert_array_equal(layers[LABELS].values[:], wanted)


def test_other_numbers_and_names(tmp_path: Path):
    write_fake_thetford(tmp_path, numbers=(0, 105, 150, 76, 178, 54, 43, 226))
    (tmp_path / "full" / "TestMap_ENVI_RAW_format.raw").rename(tmp_path / "truth.raw")
    (tmp_path / "full" / "TestMap_ENVI_RAW_format.hdr").rename(tmp_path / "truth.hdr")
    with pytest.raises(InputError, match=r"none of the labels 1, 2, 3, 4, 5, 6: say in `data\.numbers`"):
        ThetfordData().sources(tmp_path)[0].read()
    data = ThetfordData(test_map="truth.raw", numbers=(105, 150, 76, 178, 54, 43))
    labels = data.sources(tmp_path)[1].read()[LABELS].values
    numbered = map_of(TEST)
    np.testing.assert_array_equal(labels[:] == 3, numbered == 4)
    np.testing.assert_array_equal(labels[:] == IGNORE, (numbered == 0) | (numbered == 7))


@pytest.mark.parametrize("numbers", [(1, 2, 3), (0, 1, 2, 3, 4, 5), tuple(range(1, 9))])
def test_impossible_numbers(numbers: tuple[int, ...]):
    with pytest.raises(ValidationError):
        ThetfordData(numbers=numbers)


def test_a_source_travels(folder: Path):
    for source in pickle.loads(pickle.dumps(ThetfordData().sources(folder))):
        assert set(source.open()) <= {"train", "validation", "test"}


def test_nothing_there(tmp_path: Path):
    with pytest.raises(InputError, match=r"there are no images in .*: the Thetford data set has Telops"):
        ThetfordData().sources(tmp_path)


def test_missing_and_misfit_files(folder: Path):
    (folder / "full" / "TelopsDatasetCityVisible.hdr").unlink()
    write_raster(
        folder / "subset" / "TrainingMap_ENVI_RAW_format.raw", np.ones((1, 50, 60), dtype=np.uint8), "ENVI"
    )
    training, test = ThetfordData().sources(folder)
    with pytest.raises(InputError, match=r"the truth of .*Subset\.img has \(50, 60\) pixels"):
        training.read()
    with pytest.raises(InputError, match=r"cannot read .*TelopsDatasetCityVisible\.img as a raster"):
        test.read()


def test_missing_map(folder: Path):
    (folder / "full" / "TestMap_ENVI_RAW_format.raw").unlink()
    with pytest.raises(InputError, match=r"cannot read .*TestMap_ENVI_RAW_format\.raw as a raster"):
        ThetfordData().sources(folder)[1].read()
