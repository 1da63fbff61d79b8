import pickle
from pathlib import Path

import numpy as np
import pytest

from rsmtl.datasets.coffee import CoffeeData
from rsmtl.datasets.scene import LABELS, open_splits
from rsmtl.errors import InputError
from tests.datasets.coffee_fake import SHAPE, coffee_of, write_fake_coffee
from tests.datasets.vaihingen_fake import write_raster


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_fake_coffee(tmp_path)
    return tmp_path


def test_last_images_of_training_towns_are_held_out(folder: Path):
    data = CoffeeData()
    splits = open_splits(data.about(), data.sources(folder))
    assert [s.name for s in splits.train] == [
        "guaxupe1",
        "guaxupe2",
        *(f"montesanto{n}" for n in range(1, 10)),
    ]
    assert [s.name for s in splits.validation] == ["guaxupe3", "montesanto10", "montesanto11"]
    assert [s.name for s in splits.test] == ["guaranesia1", "guaranesia2"]


def test_a_town_of_one_image_keeps_it_for_training(folder: Path):
    for path in folder.glob("guaxupe[23]*"):
        path.unlink()
    splits = [source.split for source in CoffeeData().sources(folder) if source.name.startswith("guaxupe")]
    assert splits == ["train"]


def test_layers_and_classes(folder: Path):
    data = CoffeeData()
    assert data.about().bands == {"image": ("green", "red", "nir")}
    assert [c.name for c in data.about().classes] == ["other", "coffee"]
    for source in data.sources(folder):
        layers = source.read()
        assert layers["image"].values.shape == (3, *SHAPE)
        assert layers["image"].values[:].dtype == np.uint8
        town, number = source.name.rstrip("0123456789"), int(source.name.lstrip("abcdefghijklmnopqrstuvwxyz"))
        np.testing.assert_array_equal(layers[LABELS].values[:], coffee_of(town, number), source.name)


def test_the_threshold_is_127(folder: Path):
    mask = np.zeros((1, *SHAPE), dtype=np.uint8)
    mask[0, 0, :3] = 126, 127, 128
    (folder / "guaxupe1_mask.jpeg").unlink()
    write_raster(folder / "guaxupe1_mask.png", mask, "PNG")
    labels = CoffeeData().sources(folder)[0].read()[LABELS].values
    assert labels[0, :4].tolist() == [0, 1, 1, 0]
    assert labels[:].sum() == 2


def test_a_source_travels(folder: Path):
    source = pickle.loads(pickle.dumps(CoffeeData().sources(folder)[0]))
    assert set(source.open()) == {"train"}


def test_missing_town(folder: Path):
    for path in folder.glob("guaranesia*"):
        path.unlink()
    (folder / "guaranesia.txt").touch()
    with pytest.raises(InputError, match=r"there are no images of guaranesia in .*: the coffee data set has"):
        CoffeeData().sources(folder)


def test_missing_broken_and_misfit_files(folder: Path):
    (folder / "guaxupe1.jpeg").unlink()
    (folder / "guaxupe2_mask.jpeg").unlink()
    (folder / "guaxupe3.jpeg").write_bytes(b"\xff\xd8\xff")
    write_raster(folder / "montesanto1_mask.jpeg", np.zeros((1, 64, 64), dtype=np.uint8), "JPEG")
    by_name = {source.name: source for source in CoffeeData().sources(folder)}
    for name, message in {
        "guaxupe1": r"cannot read .*guaxupe1\.jpeg as a raster",
        "guaxupe2": r"cannot read .*guaxupe2_mask\.jpeg as a raster",
        "guaxupe3": r"cannot read .*guaxupe3\.jpeg as a raster",
        "montesanto1": r"the truth of .*montesanto1\.jpeg has \(64, 64\) pixels, the image \(128, 96\)",
    }.items():
        with pytest.raises(InputError, match=message):
            by_name[name].read()
    assert by_name["montesanto2"].read()
