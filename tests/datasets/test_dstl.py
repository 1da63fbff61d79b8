import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from rsmtl.datasets.dstl import DstlData
from rsmtl.datasets.scene import LABELS, open_splits
from rsmtl.errors import InputError
from tests.datasets.dstl_fake import COMMON, IMAGES, SQUARE, write_fake_dstl, write_rows
from tests.datasets.vaihingen_fake import write_raster


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_fake_dstl(tmp_path)
    return tmp_path


def test_top_left_quarter_is_for_validation_and_nothing_for_test(folder: Path):
    data = DstlData()
    splits = open_splits(data.about(), data.sources(folder))
    assert [s.name for s in splits.train] == [s.name for s in splits.validation] == list(IMAGES)
    assert splits.test == ()
    times = np.zeros((2, *COMMON), dtype=int)
    for seen, scene in zip(times, (splits.train[0], splits.validation[0]), strict=True):
        for area in scene.rectangles:
            seen[area] += 1
            assert all(side.start % 4 == side.stop % 4 == 0 for side in area)
            assert min(side.stop - side.start for side in area) >= 64
    assert (times.sum(axis=0) == 1).all()
    assert times[1].mean() == 0.25
    assert times[1, 0, 0] == 1
    assert times[1, -1, 0] == times[1, 0, -1] == 0


def test_layers_fit_together(folder: Path):
    scene = DstlData().sources(folder)[0].open()["train"]
    assert scene.shape == COMMON
    assert scene.unit_px == 4
    for name, shape, scale in (
        ("pan", (1, *COMMON), Fraction(1)),
        ("ms", (3, COMMON[0] // 4, COMMON[1] // 4), Fraction(1, 4)),
        ("hrms", (3, *COMMON), Fraction(1)),
        (LABELS, COMMON, Fraction(1)),
    ):
        layer = scene.layers[name]
        assert layer.values.shape == shape
        assert layer.scale == scale
        assert layer.values[:].dtype == (np.uint8 if name == LABELS else np.uint16)
    window = scene.read(slice(8, 72), slice(0, 64))
    assert window["pan"].shape == (1, 64, 64)
    assert window["ms"].shape == (3, 16, 16)
    assert float(window["hrms"].max()) <= 1.0


def test_ms_bands_are_those_of_the_hrms_unless_chosen(folder: Path):
    data = DstlData()
    assert data.about().bands["ms"] == data.about().bands["hrms"] == ("red", "green", "blue")
    ms = data.sources(folder)[0].read()["ms"].values
    assert ms[:, 0, 0].tolist() == [5, 3, 2]
    other = DstlData(ms_bands=(8, 1))
    assert other.about().bands["ms"] == ("nir2", "coastal")
    assert other.sources(folder)[0].read()["ms"].values[:, 0, 0].tolist() == [8, 1]


@pytest.mark.parametrize("ms_bands", [(), (0,), (9,)])
def test_impossible_bands(ms_bands: tuple[int, ...]):
    with pytest.raises(ValidationError):
        DstlData(ms_bands=ms_bands)


def test_trees_lie_where_the_polygons_are(folder: Path):
    top, bottom, left, right = SQUARE
    wanted = np.zeros(COMMON, dtype=np.uint8)
    wanted[top:bottom, left:right] = 1
    labels = [source.read()[LABELS].values for source in DstlData().sources(folder)]
    np.testing.assert_array_equal(labels[0], wanted)  # two polygons that overlap
    wanted[top + 5 : bottom - 5, left + 10 : right - 10] = 0
    np.testing.assert_array_equal(labels[1], wanted)
    assert not labels[2].any()


def test_a_source_travels(folder: Path):
    source = pickle.loads(pickle.dumps(DstlData().sources(folder)[0]))
    assert set(source.open()) == {"train", "validation"}


def test_long_polygons_can_be_read(folder: Path):
    points = ", ".join(f"{x / 1e6!r} -0.000{x % 7 + 1}" for x in range(1, 9000))
    wkt = f"POLYGON ((0.0 -0.001, {points}, 0.0 -0.001))"
    assert len(wkt) > 131072
    write_rows(
        folder / "train_wkt_v4.csv", [["ImageId", "ClassType", "MultipolygonWKT"], [IMAGES[0], "5", wkt]]
    )
    (source,) = DstlData().sources(folder)
    assert source.read()[LABELS].values[:].any()


def test_nothing_there(tmp_path: Path):
    with pytest.raises(InputError, match=r"cannot read .*train_wkt_v4\.csv: the Dstl data set has"):
        DstlData().sources(tmp_path)


def test_table_of_another_form(folder: Path):
    write_rows(folder / "train_wkt_v4.csv", [["a", "b"], ["1", "2"]])
    with pytest.raises(InputError, match=r"train_wkt_v4\.csv must have rows of three columns"):
        DstlData().sources(folder)


def test_missing_and_broken_images(folder: Path):
    (folder / "sixteen_band" / f"{IMAGES[0]}_M.tif").unlink()
    (folder / "three_band" / f"{IMAGES[1]}.tif").write_bytes(b"II*\0")
    write_raster(folder / "three_band" / f"{IMAGES[2]}.tif", np.zeros((3, 40, 42), dtype=np.uint16))
    sources = DstlData().sources(folder)
    with pytest.raises(InputError, match=r"cannot read .*6010_1_2_M\.tif as a raster"):
        sources[0].read()
    with pytest.raises(InputError, match=r"cannot read .*three_band/6040_2_2\.tif as a raster"):
        sources[1].read()
    with pytest.raises(InputError, match=r"6100_2_3\.tif has \(40, 42\) pixels, .*_P\.tif \(163, 170\)"):
        sources[2].read()


def test_missing_and_wrong_extents(folder: Path):
    source = DstlData().sources(folder)[0]
    write_rows(folder / "grid_sizes.csv", [["", "Xmax", "Ymin"], [IMAGES[1], "0.009", "-0.009"]])
    with pytest.raises(InputError, match=r"grid_sizes\.csv has no extent of 6010_1_2: fetch it again"):
        source.read()
    write_rows(folder / "grid_sizes.csv", [["", "Xmax", "Ymin"], [IMAGES[0], "0.009", "0.009"]])
    with pytest.raises(InputError, match=r"cannot use the extent of 6010_1_2 in .*Ymin 0\.009 negative"):
        source.read()


def test_broken_polygons(folder: Path):
    write_rows(
        folder / "train_wkt_v4.csv",
        [["ImageId", "ClassType", "MultipolygonWKT"], [IMAGES[0], "5", "MULTIPOLYGON ((("]],
    )
    with pytest.raises(InputError, match=r"cannot read the trees of 6010_1_2 in .*train_wkt_v4\.csv"):
        DstlData().sources(folder)[0].read()
