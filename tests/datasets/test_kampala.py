import pickle
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import rasterio

from rsmtl.datasets.kampala import PARENTS, KampalaData
from rsmtl.datasets.scene import LABELS, open_splits
from rsmtl.errors import InputError
from rsmtl.losses import IGNORE
from tests.datasets.kampala_fake import EDGE_PX, write_fake_kampala
from tests.datasets.vaihingen_fake import write_raster


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kampala")
    write_fake_kampala(folder)
    return folder


def test_the_ground_of_a_coarse_tile_is_never_split(folder: Path):
    data = KampalaData()
    splits = open_splits(data.about(), data.sources(folder))
    parts = splits.train, splits.validation, splits.test
    assert [len(part) for part in parts] == [72, 20, 20]
    where = defaultdict(set)
    for number, part in enumerate(parts):
        for scene in part:
            x, y = map(int, scene.name.split("-"))
            where[x // 2, y // 2].add(number)
    assert where.keys() == PARENTS.keys()
    assert all(len(numbers) == 1 for numbers in where.values())


def test_layers_and_classes(folder: Path):
    data = KampalaData()
    assert data.about().bands == {"image": ("red", "green", "blue")}
    assert [c.name for c in data.about().classes] == ["other", "building"]
    scene = data.sources(folder)[0].open()["train"]
    assert scene.shape == (EDGE_PX, EDGE_PX)
    window = scene.read(slice(0, 64), slice(0, 64))
    assert window["image"].shape == (3, 64, 64)
    assert float(window["image"].max()) <= 1.0
    assert window[LABELS][:48].unique().tolist() == [1]
    assert window[LABELS][48:].unique().tolist() == [0]


def test_a_source_travels(folder: Path):
    source = pickle.loads(pickle.dumps(KampalaData().sources(folder)[0]))
    assert set(source.read()) == {"image", LABELS}


def test_nothing_there(tmp_path: Path):
    with pytest.raises(InputError, match=r"there are no images in .*: the Kampala data set has images/OAM"):
        KampalaData().sources(tmp_path)


def test_missing_broken_and_misfit_files(tmp_path: Path):
    write_fake_kampala(tmp_path)
    first, second, third, fourth, *rest = KampalaData().sources(tmp_path)
    path = {source: f"OAM-{source.name}-21.tif" for source in (first, second, third, fourth)}
    (tmp_path / "images" / path[first]).unlink()
    (tmp_path / "masks" / path[second]).write_bytes(b"II*\0")
    write_raster(tmp_path / "masks" / path[third], np.zeros((1, 32, 32), dtype=np.uint8))
    write_raster(tmp_path / "masks" / path[fourth], np.full((1, EDGE_PX, EDGE_PX), 7, dtype=np.uint8))
    assert len(KampalaData().sources(tmp_path)) == 112
    with pytest.raises(InputError, match=rf"cannot read .*images/{path[first]} as a raster"):
        first.read()
    with pytest.raises(InputError, match=rf"cannot read .*masks/{path[second]} as a raster"):
        second.read()
    with pytest.raises(InputError, match=r"the truth of .* has \(32, 32\) pixels, the image \(96, 96\)"):
        third.read()
    assert (fourth.read()[LABELS].values[:] == IGNORE).all()
    assert rest[0].read()


@pytest.mark.real
def test_real_data_set(real_data: Path):
    data = KampalaData()
    splits = open_splits(data.about(), data.sources(real_data / "kampala"))
    parts = splits.train, splits.validation, splits.test
    assert [len(part) for part in parts] == [72, 20, 20]
    assert len(list((real_data / "kampala" / "images").glob("*-21.tif"))) == 112
    shares = [float(np.mean([scene.layers[LABELS].values[:] for scene in part])) for part in parts]
    assert np.average(shares, weights=(72, 20, 20)) == pytest.approx(0.29, abs=0.02)
    assert all(0.15 < share < 0.45 for share in shares)
    assert all(scene.shape == (256, 256) for part in parts for scene in part)


@pytest.mark.real
def test_real_tiles_lie_on_the_ground_that_their_names_say(real_data: Path):
    for (x, y), _ in list(PARENTS.items())[::9]:
        with rasterio.open(real_data / "kampala" / "images" / f"OAM-{x}-{y}-20.tif") as file:
            parent = file.bounds
        with rasterio.open(real_data / "kampala" / "images" / f"OAM-{2 * x + 1}-{2 * y}-21.tif") as file:
            child = file.bounds
        assert (child.right, child.top) == pytest.approx((parent.right, parent.top), abs=0.01)
        assert child.left == pytest.approx((parent.left + parent.right) / 2, abs=0.01)
