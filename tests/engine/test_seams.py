"""Seams that are there are found, and none where there is none."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rsmtl.config import Settings
from rsmtl.engine.product import write
from rsmtl.engine.seams import SEGMENT_PX, Seam, measure, seams
from rsmtl.errors import InputError
from tests import fakes

LINES = range(64, 600, 64)


def stored(values: NDArray, **attributes: object) -> xr.DataArray:
    return xr.DataArray(values, dims=("band", "y", "x"), attrs=attributes)


def texture(shape: tuple[int, ...], seed: int) -> NDArray[np.float64]:
    """Something whose steps are alike everywhere."""
    return np.random.default_rng(seed).normal(size=shape).cumsum(axis=1).cumsum(axis=2)


def seamed(values: NDArray, height: float) -> NDArray:
    """Let every second chunk stand higher, by a multiple of the mean step."""
    steps = np.abs(np.diff(values, axis=2)).mean()
    rows, cols = np.indices(values.shape[1:]) // 64
    return values + ((rows + cols) % 2) * height * steps


def look(values: NDArray, seed: int = 0, **attributes: object) -> Seam:
    found = measure(stored(values, **attributes), "any", "chunks", LINES, 64, seed)
    assert found is not None
    return found


@given(seed=st.integers(0, 2**32), shape=st.sampled_from([(1, 600, 600), (2, 400, 700), (3, 130, 600)]))
def test_a_step_across_is_found_and_no_other(seed: int, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(seed).normal(size=shape)
    without = look(values, seed)
    assert abs(without.ratio - 1) < 5 * without.error + 0.01
    assert without.error < 0.1
    assert look(seamed(values, 10), seed).ratio > 5


@given(seed=st.integers(0, 2**32))
def test_class_maps_are_compared_by_changes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 6, (1, 601, 601), dtype=np.uint8)
    keep = rng.random(coarse.shape) < 0.8
    classes = np.where(keep, np.uint8(2), coarse)
    flat = look(classes, flag_values=[0, 1, 2, 3, 4, 5])
    assert abs(flat.ratio - 1) < 5 * flat.error
    rows, cols = np.indices((601, 601)) // 64
    other = np.where((rows + cols) % 2, (classes + 3) % 6, classes).astype(np.uint8)
    assert look(other, flag_values=[0, 1, 2, 3, 4, 5]).ratio > 2
    # names of classes have no distance
    assert look(np.where(classes == 5, np.uint8(200), classes), flag_values=[0]) == flat


def test_nodata_is_no_step() -> None:
    values = texture((1, 600, 600), 3)
    values[:, 100:164, :] = np.nan
    whole = look(values)
    assert np.isfinite([whole.across, whole.elsewhere]).all()
    counts = np.where(np.isnan(values), 0, 1000 + np.round(values - np.nanmin(values))).astype(np.uint32)
    assert look(counts, _FillValue=0).across < 50
    assert (
        measure(stored(np.zeros((1, 600, 600))), "a", "chunks", LINES, 64).ratio != 1
    )  # NaN: nothing differs
    empty = stored(np.full((1, 600, 600), np.nan))
    assert measure(empty, "a", "chunks", LINES, 64) is None


def test_what_is_read_does_not_grow_with_the_scene() -> None:
    read: list[int] = []

    class Backend:
        dtype, shape, ndim = np.dtype("float32"), (1, 10**6, 10**6), 3
        attrs: dict[str, object] = {}

        def __getitem__(self, where: tuple[slice, ...]) -> xr.DataArray:
            shape = tuple(len(range(*s.indices(n))) for s, n in zip(where, self.shape, strict=True))
            read.append(int(np.prod(shape)))
            return stored(np.random.default_rng(0).normal(size=shape))

    assert measure(Backend(), "a", "chunks", range(448, 10**6, 448), 448) is not None  # type: ignore[arg-type]
    assert sum(read) <= 48 * 448 * SEGMENT_PX


def test_the_same_seed_gives_the_same_figures() -> None:
    values = texture((1, 600, 3000), 1)  # more pieces than are looked at
    assert look(values, 5) == look(values, 5) != look(values, 6)


@pytest.mark.parametrize(("overlap", "low", "high"), [(0, 10, 1e9), (32, 0, 2)])
def test_windows_that_disagree_give_their_lines_away_without_overlap(
    overlap: int, low: float, high: float, tmp_path: Path
) -> None:
    scene = fakes.make_scene(fakes.textured((1, 700, 700)) / 1000)
    settings = Settings(window=128, overlap=overlap, chunk=2)
    product = write(scene, fakes.position_dependent(), tmp_path, settings)
    found = seams(product.folder)
    assert [(seam.output, seam.lines) for seam in found] == [("same", "chunks"), ("same", "windows")]
    for seam in found:
        assert low < seam.ratio < high


def test_a_scene_of_one_chunk_has_no_lines(tmp_path: Path) -> None:
    product = write(
        fakes.make_scene(fakes.textured((1, 60, 60))),
        fakes.identity(),
        tmp_path,
        Settings(window=128, overlap=32),
    )
    assert seams(product.folder) == ()


def test_where_there_is_no_product_there_are_no_seams(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no product in"):
        seams(tmp_path)
