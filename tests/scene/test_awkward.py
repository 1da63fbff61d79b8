"""Rasters that break careless readers are read in line with GDAL's own masks; `tests/awkward` has those refused."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from rsmtl.errors import SceneError
from rsmtl.scene.open import open_scene
from tests.awkward import files

pytestmark = [pytest.mark.real, pytest.mark.timeout(20)]

READ = {  # bands, shape, pixels with an invalid band
    "RGBA.uint16.tif": (("blue", "green", "red"), (411, 634), 133258),
    "all-nodata.tif": (("blue", "green", "red", "nir"), (2475, 71), 2475 * 71),
    "alpha.tif": (("red", "green", "blue"), (1223, 1223), 1472541),
    "cog_dateline.tif": (("1",), (2355, 2325), 0),
    "cog_int16.tif": (("1",), (2667, 2658), 3414419),
    "cog_nonearth.tif": (("IR-9680",), (884, 921), 734778),
    "cog_rgb_mask.tif": (("red", "green", "blue"), (232, 383), 2739),
    "cog_scale.tif": (("1", "2"), (256, 256), 6),
    "cogeo.tif": (("red", "green", "blue"), (1024, 1024), 0),
    "image_51px.tif": (("red", "green", "blue"), (51, 51), 0),
    "image_nan.tif": (("1",), (341, 316), 61292),
}


def read(path: Path):
    (found,) = open_scene(path).inputs.values()
    return found, found.read(slice(0, found.geobox.shape[0]), slice(0, found.geobox.shape[1]))


def test_every_file_has_its_outcome_here(real_data):
    assert {path.name for path in (real_data / "awkward").glob("*.tif")} == {*READ, *files.SAYS}


@pytest.mark.parametrize("name", READ)
def test_read(real_data, name):
    bands, shape, n_invalid = READ[name]
    found, values = read(real_data / "awkward" / name)
    assert (found.bands, found.geobox.shape) == (bands, shape)
    assert np.isnan(values).any(axis=0).sum() == n_invalid
    with rasterio.open(real_data / "awkward" / name) as file:
        indexes = file.indexes[: len(bands)]
        stored = file.read(indexes, masked=True).astype(np.float64)
        scale, offset = (np.array(v)[: len(bands), None, None] for v in (file.scales, file.offsets))
    expected = (stored * scale + offset).filled(np.nan).astype(np.float32)
    np.testing.assert_array_equal(values, expected)


def test_an_image_without_georeferencing_is_refused(real_data):
    with pytest.raises(SceneError, match="has no coordinate reference system"):
        open_scene(real_data / "dubai" / "tile1" / "image_part_001.jpg")
