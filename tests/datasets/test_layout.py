"""Patches in strides and the validation quarter, as published."""

import numpy as np
import pytest

from rsmtl.datasets.layout import quarter_split, strided_patches


def test_patches_of_an_image() -> None:
    assert len(strided_patches(512, 640, 256, 64, clamped=False)) == 5 * 7
    assert strided_patches(512, 640, 256, 64, clamped=True) == strided_patches(
        512, 640, 256, 64, clamped=False
    )


@pytest.mark.parametrize(("height", "width"), [(512, 640), (300, 257), (256, 256), (2064, 2494)])
def test_clamped_patches_cover_every_pixel(height: int, width: int) -> None:
    covered = np.zeros((height, width), bool)
    for y, x in strided_patches(height, width, 256, 64, clamped=True):
        assert 0 <= y <= height - 256
        assert 0 <= x <= width - 256
        covered[y : y + 256, x : x + 256] = True
    assert covered.all()


def test_an_image_smaller_than_a_patch_has_none() -> None:
    assert strided_patches(255, 400, 256, 64, clamped=True) == []


def test_a_quarter_is_for_validation() -> None:
    validation, training = quarter_split(3200, 2400, 4)
    marked = np.zeros((3200, 2400), int)
    marked[validation] += 1
    assert marked.mean() == 0.25
    assert marked[0, 0] == 1
    assert marked[-1, 0] == marked[0, -1] == marked[-1, -1] == 0
    for rectangle in training:
        marked[rectangle] += 1
    assert (marked == 1).all()  # all pixels once: no patch within a rectangle meets the quarter


def test_borders_keep_two_resolutions_registered() -> None:
    (rows, cols), _ = quarter_split(3349, 3391, 4)
    assert (rows.stop % 4, cols.stop % 4) == (0, 0)
