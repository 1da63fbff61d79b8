import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from rsmtl.datasets.pan_ms import PanMsData
from rsmtl.datasets.reduced import wald
from rsmtl.datasets.scene import LabelledScene, Splits, open_splits
from rsmtl.errors import InputError
from tests.datasets.pan_ms_fake import EDGE_PX, write_fake_pan_ms
from tests.datasets.vaihingen_fake import write_raster


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_fake_pan_ms(tmp_path)
    return tmp_path


def opened(folder: Path) -> Splits:
    data = PanMsData()
    return open_splits(data.about(), data.sources(folder))


def area_of(scene: LabelledScene) -> tuple[slice, slice]:
    (area,) = scene.rectangles
    return area


def test_one_tile_for_training_and_the_halves_of_the_other(folder: Path):
    splits = opened(folder)
    names = [[scene.name for scene in part] for part in (splits.train, splits.validation, splits.test)]
    assert names == [["tile1"], ["tile2"], ["tile2"]]
    scenes = splits.train[0], splits.validation[0], splits.test[0]
    for scene in scenes:
        for side in area_of(scene):
            assert side.start % 16 == side.stop % 16 == 0
            assert side.stop <= EDGE_PX
            assert (side.stop - side.start) // 4 >= 64
    assert area_of(scenes[1])[1].stop == area_of(scenes[2])[1].start


def test_layers(folder: Path):
    about = PanMsData().about()
    assert about.bands == {"pan": ("pan",), "ms": ("blue", "green", "red", "nir")}
    assert about.classes == ()
    (scene,) = opened(folder).train
    assert set(scene.layers) == {"pan", "ms"}
    assert scene.layers["pan"].values.shape == (1, EDGE_PX, EDGE_PX)
    assert scene.layers["ms"].values.shape == (4, EDGE_PX // 4, EDGE_PX // 4)
    assert scene.layers["ms"].scale == Fraction(1, 4)
    window = scene.read(slice(64, 128), slice(0, 64))
    assert window["ms"].shape == (4, 16, 16)
    assert 0 < float(window["ms"].min()) < float(window["ms"].max()) <= 1.0


def test_degraded_by_their_ratio_the_areas_are_whole_pixels(folder: Path):
    splits = opened(folder)
    for scene in (*splits.train, *splits.validation, *splits.test):
        reduced = wald(scene)
        y, x = area_of(reduced)
        window = reduced.read(slice(y.stop - 64, y.stop), slice(x.stop - 64, x.stop))
        assert {name: tuple(values.shape) for name, values in window.items()} == {
            "pan": (1, 64, 64),
            "ms": (4, 16, 16),
            "hrms": (4, 64, 64),
        }
        assert float(reduced.read(y, x)["pan"].min()) > 0  # nothing of where there is no data


def test_a_source_travels(folder: Path):
    first, second = pickle.loads(pickle.dumps(PanMsData().sources(folder)))
    assert set(first.open()) == {"train"}
    assert set(second.open()) == {"validation", "test"}


def test_nothing_there(tmp_path: Path):
    with pytest.raises(InputError, match=r"there are no pairs in .*: the data set has tile1_pan_0\.5m\.tif"):
        PanMsData().sources(tmp_path)


def test_missing_broken_and_misfit_files(folder: Path):
    first, second = PanMsData().sources(folder)
    (folder / "tile1_ms_2m.tif").unlink()
    (folder / "tile2_pan_0.5m.tif").write_bytes(b"II*\0")
    with pytest.raises(InputError, match=r"cannot read .*tile1_ms_2m\.tif as a raster"):
        first.read()
    with pytest.raises(InputError, match=r"cannot read .*tile2_pan_0\.5m\.tif as a raster"):
        second.read()
    write_raster(folder / "tile1_ms_2m.tif", np.ones((4, 100, 150), dtype=np.uint16))
    with pytest.raises(InputError, match=r"\(600, 600\) pixels, .* \(100, 150\): PAN must have 4 times"):
        first.read()
    write_raster(folder / "tile1_ms_2m.tif", np.ones((3, 150, 150), dtype=np.uint16))
    with pytest.raises(InputError, match=r"tile1_ms_2m\.tif has 3 band\(s\), expected 4"):
        first.read()


@pytest.mark.real
def test_real_pairs(real_data: Path):
    splits = opened(real_data / "pan_ms")
    for scene in (*splits.train, *splits.validation, *splits.test):
        y, x = area_of(scene)
        window = scene.read(y, x)
        assert float(window["pan"].min()) > 0  # has data everywhere
        assert all(float(window["ms"][band].min()) > 0 for band in range(4))
        assert float(max(window["pan"].max(), window["ms"].max())) <= 1.0  # 11 bits
        pan = scene.layers["pan"].values[0, y, x].reshape(-1, (x.stop - x.start) // 4, 4).mean(2)
        pan = pan.reshape(-1, 4, pan.shape[1]).mean(1)
        assert np.corrcoef(pan.ravel(), window["ms"].mean(0).numpy().ravel())[0, 1] > 0.9  # of one ground
