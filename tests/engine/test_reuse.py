"""A product stands only for the very model and files that it was made with."""

import shutil
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import rasterio.shutil
import torch
import xarray as xr
from torch import Tensor, nn

from rsmtl.config import Settings
from rsmtl.engine.executor import SerialExecutor
from rsmtl.engine.lazy import predict
from rsmtl.engine.product import write
from rsmtl.errors import ResumeError, RunError
from rsmtl.scene.open import open_scene
from rsmtl.store.item import finished
from tests import fakes
from tests.scene.rasters import image, write_raster

SMALL = Settings(window=32, overlap=8, chunk=1)


class Above(nn.Module):
    """One where a value is above a threshold that is a plain attribute."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"same": (image > self.threshold).to(torch.float32)}


def above(threshold: float) -> Any:
    return fakes.one_input_model(Above(threshold), 1, fakes.continuous("same", 1), high=200.0)


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    return write_raster(tmp_path / "tile.tif", image(1, 64, 64))


def test_an_edited_model_makes_another_product(tmp_path: Path, raster: Path) -> None:
    scene = open_scene(raster)
    write(scene, above(0.25), tmp_path / "out", SMALL)
    assert write(open_scene(raster), above(0.25), tmp_path / "out", SMALL).reused
    with pytest.raises(ResumeError):
        write(scene, above(0.75), tmp_path / "out", SMALL)
    model = above(0.25)
    model.module.threshold = 0.75  # also when it is edited after it was wrapped
    with pytest.raises(ResumeError):
        write(scene, model, tmp_path / "out", SMALL)


def test_an_edited_model_has_other_dask_keys(raster: Path) -> None:
    scene = open_scene(raster)
    keys = [predict(scene, above(t), SMALL)["same"].data.name for t in (0.25, 0.25, 0.75)]
    assert keys[0] == keys[1] != keys[2]
    counts = [int((predict(scene, above(t), SMALL)["same"].values > 0).sum()) for t in (0.25, 0.75)]
    assert counts == [int((image(1, 64, 64) / 200 > t).sum()) for t in (0.25, 0.75)]
    assert dask.base.tokenize(above(0.25)) != dask.base.tokenize(above(0.5))


def test_a_replaced_tile_of_a_vrt_is_another_scene(tmp_path: Path, raster: Path) -> None:
    vrt = tmp_path / "scene.vrt"
    rasterio.shutil.copy(raster, vrt, driver="VRT")
    write(open_scene(vrt), fakes.identity(high=200.0), tmp_path / "out", SMALL)
    assert write(open_scene(vrt), fakes.identity(high=200.0), tmp_path / "out", SMALL).reused
    write_raster(raster, image(1, 64, 64, seed=1))
    with pytest.raises(ResumeError):
        write(open_scene(vrt), fakes.identity(high=200.0), tmp_path / "out", SMALL)


def test_a_folder_that_was_moved_has_the_same_scene(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    write_raster(tmp_path / "a" / "s.tif", image(1, 64, 64))
    write(open_scene(tmp_path / "a" / "s.tif"), fakes.identity(high=200.0), tmp_path / "out", SMALL)
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert write(
        open_scene(tmp_path / "b" / "s.tif"), fakes.identity(high=200.0), tmp_path / "out", SMALL
    ).reused


def test_what_has_no_version_never_stands(tmp_path: Path, raster: Path) -> None:
    with rasterio.MemoryFile(raster.read_bytes()) as held:
        write(open_scene(held.name), fakes.identity(high=200.0), tmp_path / "out", SMALL)
        with pytest.raises(ResumeError, match=r"nobody can tell whether it has changed.*--overwrite"):
            write(open_scene(held.name), fakes.identity(high=200.0), tmp_path / "out", SMALL)
        assert not write(
            open_scene(held.name), fakes.identity(high=200.0), tmp_path / "out", SMALL, overwrite=True
        ).reused


class _Meanwhile(SerialExecutor):
    """Does something after the first job on a chunk."""

    def __init__(self, act: Any) -> None:
        super().__init__()
        self._act = act

    def submit(self, function: Any, *args: Any) -> Any:
        answer = super().submit(function, *args)
        act, self._act = self._act, None if "Together" in type(function).__name__ else self._act
        if act is not None and "Together" in type(function).__name__:
            act()
        return answer


def test_a_zarr_store_rewritten_during_the_run_leaves_no_finished_product(tmp_path: Path) -> None:
    store = tmp_path / "s.zarr"
    array = xr.DataArray(
        image(1, 64, 64)[0],
        dims=("y", "x"),
        coords={"y": 100 - 10.0 * np.arange(64), "x": 10.0 * np.arange(64)},
        name="dn",
    ).rio.write_crs(32631)
    array.to_dataset().to_zarr(store, consolidated=False)

    def rewrite() -> None:
        (array + 1).astype("u2").to_dataset(name="dn").to_zarr(store, mode="w", consolidated=False)

    with pytest.raises(RunError, match="changed while it was read"):
        write(
            open_scene(store),
            fakes.identity(high=200.0),
            tmp_path / "out",
            SMALL,
            executor=_Meanwhile(rewrite),
        )
    assert finished(tmp_path / "out" / "s") is None
