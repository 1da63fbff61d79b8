import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp

from rsmtl.errors import RunError, SceneError
from rsmtl.gdal import BLOCK_CACHE_BYTES
from rsmtl.scene.raster import Declared, open_raster
from tests.scene.rasters import CRS, grid, image, write_raster

RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


def read(found):
    return found.read(slice(0, found.geobox.shape[0]), slice(0, found.geobox.shape[1]))


def test_values_grid_and_storage_are_the_file_s(tmp_path):
    values = image(3, 20, 30)
    found = open_raster("ms", str(write_raster(tmp_path / "a.tif", values, names=("b", "g", "r"))))
    np.testing.assert_array_equal(read(found), values)
    assert found.name == "ms"
    assert found.bands == ("b", "g", "r")
    assert (found.geobox.affine, str(found.geobox.crs), found.geobox.shape) == (grid(), CRS, (20, 30))
    assert (found.storage.dtype, found.storage.nodata, found.storage.masked) == ("uint16", None, False)
    assert (found.storage.scale, found.storage.offset) == ((1.0,), (0.0,))
    assert found.data.dims == ("band", "y", "x")
    assert found.data.dtype == np.float32


def test_sentinel(tmp_path):
    values = image(2, 8, 8, "int16")
    values[0, 2, 3] = -99
    found = open_raster("image", str(write_raster(tmp_path / "a.tif", values, nodata=-99)))
    assert np.argwhere(np.isnan(read(found))).tolist() == [[0, 2, 3]]
    assert found.storage.nodata == -99


def test_nan_needs_no_sentinel(tmp_path):
    values = image(1, 8, 8, "float32")
    values[0, 1, 1] = np.nan
    found = open_raster("image", str(write_raster(tmp_path / "a.tif", values)))
    np.testing.assert_array_equal(read(found), values)
    assert found.storage.masked


def test_internal_mask(tmp_path):
    values, mask = image(3, 8, 8, "uint8"), np.full((8, 8), 255, np.uint8)
    mask[4, 5] = 0
    found = open_raster("image", str(write_raster(tmp_path / "a.tif", values, mask=mask)))
    assert np.argwhere(np.isnan(read(found))).tolist() == [[band, 4, 5] for band in range(3)]
    assert found.storage.masked


def test_alpha_becomes_mask_and_is_no_band(tmp_path):
    values = image(4, 8, 8, "uint8")
    values[3] = 1  # nearly transparent is still there
    values[3, 6, 7] = 0
    path = write_raster(tmp_path / "a.tif", values, photometric="rgb", colors=(*RGB, ColorInterp.alpha))
    found = open_raster("image", str(path))
    assert found.bands == ("red", "green", "blue")
    expected = values[:3].astype(np.float32)
    expected[:, 6, 7] = np.nan
    np.testing.assert_array_equal(read(found), expected)


def test_a_band_that_is_called_alpha_by_mistake_can_be_asked_for_by_number(tmp_path):
    values = image(4, 8, 8, "uint8")
    values[3, 6, 7] = 0
    path = write_raster(tmp_path / "a.tif", values, photometric="rgb", colors=(*RGB, ColorInterp.alpha))
    found = open_raster("image", str(path), ["1", "2", "3", "4"])
    np.testing.assert_array_equal(read(found), values)
    assert found.bands == ("red", "green", "blue", "4")


def test_sentinel_mask_and_alpha_all_count(tmp_path):
    values = image(2, 8, 8, "uint8")
    values[0, 0, 0] = values[1] = 255
    values[1, 1, 1] = 0
    path = write_raster(tmp_path / "a.tif", values, colors=(ColorInterp.gray, ColorInterp.alpha), nodata=255)
    assert np.argwhere(np.isnan(read(open_raster("image", str(path))))).tolist() == [[0, 0, 0], [0, 1, 1]]


def test_scale_and_offset_of_each_band(tmp_path):
    values = image(2, 8, 8, "int16")
    values[1, 0, 0] = 0
    path = write_raster(tmp_path / "a.tif", values, scales=(0.5, 1.0), offsets=(0.0, -7.0), nodata=0)
    found = open_raster("image", str(path))
    expected = np.stack([values[0] * 0.5, values[1] - 7.0])
    expected[1, 0, 0] = np.nan
    np.testing.assert_allclose(read(found), expected, rtol=1e-7)
    assert (found.storage.scale, found.storage.offset) == ((0.5, 1.0), (0.0, -7.0))


def test_bands_are_chosen_by_name_color_or_number_in_the_order_asked(tmp_path):
    values = image(4, 6, 6, "uint8")
    named = str(
        write_raster(
            tmp_path / "a.tif", values, names=("Blue", "Green", "Red", "NIR"), photometric="minisblack"
        )
    )
    np.testing.assert_array_equal(read(open_raster("image", named, ["red", "4"])), values[[2, 3]])
    colored = str(
        write_raster(tmp_path / "b.tif", values, photometric="rgb", colors=(*RGB, ColorInterp.undefined))
    )
    found = open_raster("image", colored, ["blue", "red", "blue"])
    np.testing.assert_array_equal(read(found), values[[2, 0, 2]])
    assert found.bands == ("blue", "red", "blue")


def test_a_band_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    path = write_raster(tmp_path / "a.tif", image(2, 6, 6), names=("blue", ""))
    with pytest.raises(SceneError, match=r"a\.tif' has no band swir, 3: it has 1 \(blue\), 2$"):
        open_raster("image", str(path), ["blue", "swir", "3"])


def test_what_is_declared_outranks_the_file(tmp_path):
    values = image(2, 6, 6)
    values[0, 0, 0], values[1, 0, 1] = 700, 900
    path = write_raster(tmp_path / "a.tif", values, nodata=900, scales=(3.0, 3.0), offsets=(0.0, 0.0))
    found = open_raster("image", str(path), declared=[Declared("pan", nodata=700, scale=2.0), Declared()])
    result = read(found)
    assert found.bands == ("pan", "2")
    assert np.argwhere(np.isnan(result)).tolist() == [[0, 0, 0], [1, 0, 1]]
    np.testing.assert_array_equal(result[:, 5], [values[0, 5] * 2.0, values[1, 5] * 3.0])


def test_numbers_declared_for_other_bands_than_the_file_has_are_refused(tmp_path):
    path = str(write_raster(tmp_path / "a.tif", image(3, 6, 6)))
    with pytest.raises(
        SceneError, match="holds 3 bands but its STAC item gives nodata, scale or offset of 2"
    ):
        open_raster("image", path, declared=[Declared(scale=2.0), Declared(scale=2.0)])
    assert open_raster("image", path, declared=[Declared("a"), Declared("b")]).bands == ("1", "2", "3")


def test_rows_that_run_south_to_north_are_turned(tmp_path):
    values = image(1, 6, 4)
    path = write_raster(tmp_path / "a.tif", values, transform=Affine(10, 0, 5e5, 0, 10, 5e6))
    found = open_raster("image", str(path))
    np.testing.assert_array_equal(read(found), values[:, ::-1])
    np.testing.assert_array_equal(found.read(slice(1, 3), slice(2, 4)), values[:, ::-1][:, 1:3, 2:4])
    assert found.geobox.affine == Affine(10, 0, 5e5, 0, -10, 5e6 + 60)


@pytest.mark.parametrize("dtype", ["complex64", "complex_int16"])
def test_complex_numbers_are_refused(tmp_path, dtype):
    path = write_raster(tmp_path / "a.tif", image(1, 6, 6, "complex64"), dtype=dtype)
    with pytest.raises(SceneError, match="holds complex numbers: compute the amplitude"):
        open_raster("image", str(path))


def test_a_colour_table_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    with rasterio.open(path, "w", "GTiff", 6, 6, 1, CRS, grid(), "uint8") as file:
        file.write(image(1, 6, 6, "uint8"))
        file.write_colormap(1, {1: (255, 0, 0, 255)})
    with pytest.raises(SceneError, match=r"holds indices into a colour table, not values: .*-expand rgba"):
        open_raster("image", str(path))


def test_missing_file_and_folder_are_refused(tmp_path):
    with pytest.raises(SceneError, match=r"nix\.tif' does not exist: give the path of a raster"):
        open_raster("image", str(tmp_path / "nix.tif"))
    with pytest.raises(SceneError, match="is a folder: name the rasters in it"):
        open_raster("image", str(tmp_path))


def write_cog(path):
    """Four tiles; the header stands in front of the pixels."""
    with rasterio.open(
        path, "w", "COG", 512, 512, 1, CRS, grid(), "uint16", blocksize=256, overviews="none"
    ) as file:
        file.write(image(1, 512, 512))
    return path


def test_a_truncated_file_says_where_it_cannot_be_read(tmp_path):
    path = write_cog(tmp_path / "a.tif")
    path.write_bytes(path.read_bytes()[:-1000])
    found = open_raster("image", str(path))
    assert np.isfinite(found.read(slice(0, 256), slice(0, 256))).all()
    with pytest.raises(
        RunError, match=r"a\.tif' cannot be read at rows 256 to 512, columns 256 to 512 \(.+\): the file"
    ):
        found.read(slice(256, 512), slice(256, 512))


def test_opening_reads_no_pixel(tmp_path):
    path = write_cog(tmp_path / "a.tif")
    whole = path.read_bytes()
    path.write_bytes(whole[:2000] + bytes(len(whole) - 2000))
    found = open_raster("image", str(path))
    assert pickle.loads(pickle.dumps(found)).geobox.shape == (512, 512)
    with pytest.raises(RunError):
        read(found)


def test_many_threads_read_what_one_reads(tmp_path):
    values = image(2, 300, 200)
    found = open_raster(
        "image", str(write_raster(tmp_path / "a.tif", values, tiled=True, blockxsize=64, blockysize=64))
    )
    spans = [(slice(y, y + 50), slice(x, x + 40)) for y in range(0, 250, 7) for x in range(0, 160, 31)]
    with ThreadPoolExecutor(8) as pool:
        for (y, x), got in zip(spans, pool.map(lambda span: found.read(*span), spans), strict=True):
            np.testing.assert_array_equal(got, values[:, y, x])


def test_another_process_reads_it(tmp_path):
    values = image(2, 30, 20)
    found = open_raster("image", str(write_raster(tmp_path / "a.tif", values)))
    read(found)  # a handle is open when it is pickled
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        np.testing.assert_array_equal(
            pool.submit(found.read, slice(3, 9), slice(1, 5)).result(), values[:, 3:9, 1:5]
        )


READ_ROWS = """
import resource, sys
from rsmtl.scene.raster import open_raster
found = open_raster("image", sys.argv[1])
for y in range(0, int(sys.argv[2]), 512):
    for x in range(0, 16384, 512):
        found.read(slice(y, y + 512), slice(x, x + 512))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def test_memory_does_not_grow_with_what_is_read(tmp_path):
    path = tmp_path / "a.tif"
    tiles = {"tiled": True, "blockxsize": 512, "blockysize": 512, "sparse_ok": True}
    with rasterio.open(path, "w", "GTiff", 16384, 8192, 1, CRS, grid(), "uint16", **tiles):
        pass  # a quarter of a gigabyte of zeros

    def peak_bytes(rows):
        command = [sys.executable, "-c", READ_ROWS, path, str(rows)]
        return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)

    assert peak_bytes(8192) - peak_bytes(4096) < BLOCK_CACHE_BYTES / 4  # with 128 MiB read, the cache is full
