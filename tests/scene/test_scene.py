import numpy as np
import pytest
import xarray as xr
from dask.base import tokenize
from odc.geo.geobox import GeoBox

from rsmtl.errors import RunError, SceneError
from rsmtl.models.spec import HeadSpec, InputSpec, ModelSpec
from rsmtl.scene.align import align
from rsmtl.scene.arrays import scene_from_arrays
from rsmtl.scene.lazy import lazy_bands
from rsmtl.scene.open import open_scene
from rsmtl.scene.scene import SceneInput, Storage
from tests.scene.rasters import CRS, grid, image, write_raster


class Failing:
    shape = (1, 8, 8)

    def __init__(self, error):
        self.error = error

    def read(self, y, x):
        raise self.error


@pytest.mark.parametrize(
    ("error", "becomes", "said"),
    [
        (
            OSError("disk on fire"),
            RunError,
            r"input 'pan' cannot be read at rows 1 to 3, .* \(disk on fire\): the file is",
        ),
        (SceneError("a sentence"), SceneError, "^a sentence$"),
        (MemoryError(), MemoryError, ""),
    ],
)
def test_what_fails_in_reading_is_one_of_ours(error, becomes, said):
    geobox = GeoBox((8, 8), grid(), CRS)
    found = SceneInput("pan", lazy_bands(Failing(error), "a"), geobox, Storage("uint8"), ("a",))
    with pytest.raises(becomes, match=said):
        found.read(slice(1, 3), slice(2, 4))


def test_a_token_tells_scenes_apart_and_reads_nothing(tmp_path):
    spec = ModelSpec(
        system="fake",
        inputs=[InputSpec(name="pan", channels=1), InputSpec(name="ms", channels=1)],
        heads=[HeadSpec(name="h", channels=1, kind="continuous", like="pan")],
    )
    write_raster(tmp_path / "pan.tif", image(1, 8, 8))
    write_raster(tmp_path / "ms.tif", image(1, 8, 8), grid(dx=3))

    def scene():
        return open_scene({"pan": tmp_path / "pan.tif", "ms": tmp_path / "ms.tif"})

    tokens = [tokenize(s) for s in (scene(), align(scene(), spec), align(scene(), spec, "cubic"))]
    assert len(set(tokens)) == 3
    opened = scene()
    (tmp_path / "ms.tif").unlink()
    assert tokenize(opened) == tokens[0]
    write_raster(tmp_path / "ms.tif", image(1, 8, 8), grid(dx=3))
    assert tokenize(scene()) != tokens[0]  # another modification time


def test_a_token_of_a_scene_in_memory_is_that_of_its_values():
    def scene(seed):
        array = xr.DataArray(image(1, 8, 8, seed=seed), dims=("band", "y", "x"))
        return scene_from_arrays({"image": array.rio.write_crs(CRS).rio.write_transform(grid())})

    assert tokenize(scene(0)) == tokenize(scene(0))
    assert tokenize(scene(0)) != tokenize(scene(1))
    assert np.array_equal(scene(0).inputs["image"].read(slice(0, 8), slice(0, 8)), image(1, 8, 8))
