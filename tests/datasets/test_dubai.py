from pathlib import Path

import numpy as np
import pytest

from rsmtl.datasets import LABELS, Splits, open_splits
from rsmtl.datasets.dubai import MASK_COLORS, DubaiData
from rsmtl.datasets.files import decode_colors
from rsmtl.errors import InputError
from rsmtl.losses import IGNORE
from tests.datasets.dubai_fake import COLORS, UNLABELED, write_fake_dubai, write_image


def load_dubai(folder: Path) -> Splits:
    data = DubaiData()
    return open_splits(data.about(), data.sources(folder))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_fake_dubai(tmp_path)
    return tmp_path


def test_tiles_are_not_shared_between_splits(folder: Path):
    splits = load_dubai(folder)
    tiles = [{s.name.split("/")[0] for s in part} for part in (splits.train, splits.validation, splits.test)]
    assert tiles == [{"tile1", "tile3", "tile5", "tile6", "tile8"}, {"tile2"}, {"tile4", "tile7"}]


def test_palette_and_colour_masks_mean_the_same(folder: Path):
    splits = load_dubai(folder)
    for scene in (*splits.train, *splits.validation, *splits.test):
        labels = scene.layers[LABELS].values[...]
        colors = COLORS.astype(np.float64)[np.where(labels == IGNORE, 5, labels)].transpose(2, 0, 1)
        inside = np.abs(
            scene.layers["image"].values[:, 4:12, 4:12] - colors[:, 4:12, 4:12]
        )  # away from JPEG's ringing at edges
        assert scene.shape == (96, 80)
        assert inside.mean() < 12, scene.name


def test_unlabeled_and_stray_colours_are_ignored():
    mask = np.zeros((3, 2, 2), dtype=np.uint8)
    mask[:, 0, 1] = UNLABELED
    mask[:, 0, 0] = MASK_COLORS[4]
    mask[:, 1, 1] = (255, 255, 255)
    assert decode_colors(mask, MASK_COLORS).tolist() == [[4, IGNORE], [IGNORE, IGNORE]]


def test_missing_tile(folder: Path):
    for path in (folder / "tile6").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"there are no images in .*tile6: the Dubai data set has tile1"):
        load_dubai(folder)


def test_missing_mask(folder: Path):
    (folder / "tile3" / "image_part_001.png").unlink()
    with pytest.raises(
        InputError, match=r"cannot read .*tile3/image_part_001\.png as an RGB or palette image"
    ):
        load_dubai(folder)


def test_mask_of_another_size(folder: Path):
    write_image(folder / "tile8" / "image_part_001.png", np.zeros((3, 50, 80), dtype=np.uint8), "PNG")
    with pytest.raises(
        InputError, match=r"the truth of .*tile8.* has \(50, 80\) pixels, the image \(96, 80\)"
    ):
        load_dubai(folder)


@pytest.mark.real
@pytest.mark.slow
def test_real_data_set(real_data: Path):
    splits = load_dubai(real_data / "dubai")
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [45, 9, 18]
    scenes = (*splits.train, *splits.validation, *splits.test)
    counts = sum(np.bincount(s.layers[LABELS].values[...].ravel(), minlength=256) for s in scenes)
    n_pixels = sum(s.shape[0] * s.shape[1] for s in scenes)
    assert n_pixels == pytest.approx(99e6, rel=0.01)
    assert counts[IGNORE] / n_pixels == pytest.approx(0.0106, abs=0.0002)
    assert counts[:5].sum() + counts[IGNORE] == n_pixels
    assert all(counts[:5] > 0)
