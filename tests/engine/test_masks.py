"""An identity gives back every integer: where none can be a sentinel, a mask says which pixels are valid."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
from rasterio.enums import MaskFlags

from rsmtl.config import Settings
from rsmtl.engine.lazy import predict
from rsmtl.engine.product import write
from rsmtl.engine.stored import physical, stored_array
from rsmtl.scene.open import open_scene
from rsmtl.store.folder import cog_path
from tests import fakes
from tests.scene.rasters import write_raster

TYPES = ("uint8", "uint16", "int16")


def masked_scene(folder: Path, dtype: str) -> tuple[Path, np.ndarray, np.ndarray]:
    """A raster with a mask and no sentinel that holds the ends of its type, and zeros, as valid values."""
    limits = np.iinfo(dtype)
    values = (
        np.random.default_rng(0).integers(limits.min, limits.max, (1, 90, 70), endpoint=True).astype(dtype)
    )
    values[0, ::7], values[0, ::11], values[0, ::13] = limits.min, limits.max, 0
    valid = np.ones((90, 70), bool)
    valid[:40, 30:], valid[60, 60] = False, False
    path = write_raster(folder / "s.tif", values, mask=valid)
    return path, values, valid


@pytest.mark.parametrize("dtype", TYPES)
def test_every_integer_comes_back(tmp_path: Path, dtype: str) -> None:
    path, values, valid = masked_scene(tmp_path, dtype)
    settings = Settings(window=32, overlap=8, chunk=2)
    model = fakes.identity(high=65535.0)
    product = write(open_scene(path), model, tmp_path, settings)
    name = model.spec.heads[0].name
    stored = stored_array(product.folder, name)
    assert "_FillValue" not in stored.attrs
    np.testing.assert_array_equal(stored.valid.values == 255, valid)
    np.testing.assert_array_equal(stored.values[:, valid], values[:, valid])
    assert np.isnan(physical(stored)[:, ~valid]).all()
    cog = cog_path(product.folder, name)
    with rasterio.open(cog) as found:
        assert found.mask_flag_enums[0] == [MaskFlags.per_dataset]
        assert (found.nodata, found.dtypes[0]) == (None, dtype)
        np.testing.assert_array_equal(found.dataset_mask() == 255, valid)
        np.testing.assert_array_equal(found.read()[:, valid], values[:, valid])
    opened = rioxarray.open_rasterio(cog, masked=True)
    assert isinstance(opened, xr.DataArray)
    np.testing.assert_array_equal(np.isfinite(opened.values[0]), valid)
    again = open_scene(cog).inputs["image"].read(slice(0, 90), slice(0, 70))
    np.testing.assert_array_equal(again[:, valid], values[:, valid].astype("f4"))
    lazy = predict(open_scene(path), model, settings).compute()
    np.testing.assert_array_equal(lazy[f"{name}_mask"].values == 255, valid)
    np.testing.assert_array_equal(lazy[name].values[valid], values[0, valid])
    chunked = write(open_scene(path), model, tmp_path / "other", Settings(window=32, overlap=8, chunk=1))
    for one in (name, f"{name}_mask"):
        np.testing.assert_array_equal(stored_array(chunked.folder, one), stored_array(product.folder, one))
