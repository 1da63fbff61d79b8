import subprocess
import sys
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp
from rio_cogeo import cog_validate

from rsmtl.errors import RunError
from rsmtl.store.cog import write_cog
from rsmtl.store.zarr import create_store, open_product, write_shard
from tests.store.products import CLASSES, SEGMENTATION, array_of, blobs, utm


def check_valid(path: Path) -> None:
    valid, errors, warnings = cog_validate(path, strict=True)
    assert valid, (errors, warnings)
    assert not warnings


def test_a_class_map_is_a_cog_in_colour(tmp_path: Path) -> None:
    grid, path = utm(1201, 907), tmp_path / "segmentation.tif"
    classes = blobs(1201, 907, len(CLASSES))
    classes[:300, :200] = 255
    write_cog(array_of(grid, classes[None]), path, nodata=255, bands=("segmentation",), classes=CLASSES)
    check_valid(path)
    with rasterio.open(path) as found:
        np.testing.assert_array_equal(found.read(1), classes)
        assert found.transform == grid.affine
        assert found.crs.to_epsg() == 32633
        assert found.nodata == 255
        assert found.descriptions == ("segmentation",)
        assert found.colorinterp == (ColorInterp.palette,)
        assert [found.colormap(1)[k] for k in range(3)] == [(*c.color, 255) for c in CLASSES]
        assert found.tags(1)["class_0"] == "bare land"
        assert found.overviews(1) == [2, 4]
        assert found.compression.name == "deflate"
    with rasterio.open(path, overview_level=1) as overview:
        # patches of 16 pixels are 4 here: no mixture, no class that is not there
        np.testing.assert_array_equal(overview.read(1)[80:225, 60:225], classes[321:900:4, 241:900:4])
        assert set(np.unique(overview.read(1))) <= {0, 1, 2, 255}
    assert list(tmp_path.iterdir()) == [path]


def test_reflectances_keep_scale_offset_names_and_colours(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(1, 10_000, (4, 800, 640), dtype=np.uint16)
    values[:, 100:140, 100:140] = 0
    write_cog(
        array_of(utm(800, 640), values),
        tmp_path / "hrms.tif",
        nodata=0,
        bands=("red", "green", "blue", "nir"),
        band_scale=(1e-4,),
        band_offset=(-0.1, -0.2, -0.3, -0.4),
    )
    check_valid(tmp_path / "hrms.tif")
    with rasterio.open(tmp_path / "hrms.tif") as found:
        np.testing.assert_array_equal(found.read(), values)
        assert found.descriptions == ("red", "green", "blue", "nir")
        assert found.scales == (1e-4,) * 4
        assert found.offsets == (-0.1, -0.2, -0.3, -0.4)
        assert found.colorinterp[:3] == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    with rasterio.open(tmp_path / "hrms.tif", overview_level=0) as overview:
        mean = values[0, :20, :20].reshape(10, 2, 10, 2).mean(axis=(1, 3))
        np.testing.assert_allclose(overview.read(1)[:10, :10], mean, atol=1)
        assert (overview.read(1)[51:69, 51:69] == 0).all()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (31, 97), (513, 512)])
def test_any_size_and_type(tmp_path: Path, dtype: str, shape: tuple[int, int]) -> None:
    grid = GeoBox(shape, Affine(1e-4, 0, 12.3456789, 0, -1e-4, 41.9), "EPSG:4326")
    values = np.random.default_rng(0).integers(0, 100, (2, *shape)).astype(dtype)
    nodata = float("nan") if dtype.startswith("float") else None
    write_cog(array_of(grid, values), tmp_path / "x.tif", nodata=nodata, bands=("a", "b"))
    check_valid(tmp_path / "x.tif")
    with rasterio.open(tmp_path / "x.tif") as found:
        np.testing.assert_array_equal(found.read(), values)
        assert found.dtypes == (dtype, dtype)
        assert found.crs.to_epsg() == 4326
        assert found.transform == grid.affine
        np.testing.assert_equal(found.nodata, nodata)


def test_dask_computes_each_chunk_once(tmp_path: Path) -> None:
    values = blobs(1000, 1100, 200)
    counted: list[int] = []

    def block(part: np.ndarray) -> np.ndarray:
        counted.append(part.size)
        return part

    lazy = da.from_array(values[None], chunks=(1, 300, 450)).map_blocks(
        block, dtype=np.uint8, meta=np.empty(0, "u1")
    )
    write_cog(array_of(utm(1000, 1100), lazy), tmp_path / "x.tif", nodata=None, bands=("a",))
    assert len(counted) == 4 * 3
    assert sum(counted) == values.size
    with rasterio.open(tmp_path / "x.tif") as found:
        np.testing.assert_array_equal(found.read(1), values)


def test_a_product_is_copied_from_its_store(tmp_path: Path) -> None:
    values = blobs(700, 900, 3)[None]
    create_store(tmp_path, (SEGMENTATION,), utm(700, 900), 448)
    for y in (0, 448):
        for x in (0, 448, 896):
            write_shard(tmp_path, SEGMENTATION, y, x, values[:, y : y + 448, x : x + 448])
    data = open_product(tmp_path)["10m"]["segmentation"]
    write_cog(data, tmp_path / "segmentation.tif", nodata=255, bands=("segmentation",), classes=CLASSES)
    check_valid(tmp_path / "segmentation.tif")
    with rasterio.open(tmp_path / "segmentation.tif") as found:
        np.testing.assert_array_equal(found.read(), values)


def test_what_stands_is_kept_until_the_new_file_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    write_cog(array_of(utm(40, 50), blobs(40, 50, 3)[None]), path, nodata=None, bands=("a",))

    def fail(part: np.ndarray) -> np.ndarray:
        raise ZeroDivisionError

    lazy = da.zeros((1, 40, 50), dtype=np.uint8).map_blocks(fail, dtype=np.uint8, meta=np.empty(0, "u1"))
    with pytest.raises(ZeroDivisionError):
        write_cog(array_of(utm(40, 50), lazy), path, nodata=None, bands=("a",))
    assert list(tmp_path.iterdir()) == [path]
    with rasterio.open(path) as found:
        np.testing.assert_array_equal(found.read(1), blobs(40, 50, 3))


@pytest.mark.parametrize("size", [1104, 1120, 1136, 1200, 1280, 1420, 1700, 2000])
def test_a_full_disk_is_a_sentence_and_no_file(small_disk: Path, size: int) -> None:
    """Noise of these sizes fills the disk in each of the steps: pixels, overviews, copy, directory."""
    noise = np.random.default_rng(0).integers(0, 250, (1, size, size), dtype=np.uint8)
    with pytest.raises(
        RunError, match=r"cannot write .*x\.tif: No space left on device; make room or give another"
    ):
        write_cog(array_of(utm(size, size), noise), small_disk / "x.tif", nodata=None, bands=("a",))
    assert list(small_disk.iterdir()) == []


@pytest.mark.slow
def test_memory_does_not_grow_with_the_scene(tmp_path: Path) -> None:
    """Peak of a process that writes 2,048² and of one that writes 8,192² class maps: within 10 %."""
    code = (
        "import sys, numpy as np, dask.array as da; from pathlib import Path\n"
        "from rsmtl.store.cog import write_cog; from tests.store.products import CLASSES, array_of, blobs, utm\n"
        "n = int(sys.argv[2]); part = blobs(1024, 1024, 3)[None]\n"
        "data = da.map_blocks(lambda: part, chunks=((1,), (1024,) * (n // 1024), (1024,) * (n // 1024)),\n"
        "                     dtype='u1', meta=np.empty((0, 0, 0), 'u1'))\n"
        "write_cog(array_of(utm(n, n), data), Path(sys.argv[1]), nodata=255, bands=('a',), classes=CLASSES)\n"
        "print(next(l.split()[1] for l in open('/proc/self/status') if l.startswith('VmHWM')))"
    )
    peaks = [
        int(subprocess.check_output([sys.executable, "-c", code, str(tmp_path / "x.tif"), str(n)], text=True))
        for n in (2048, 8192)
    ]
    assert peaks[1] < 1.1 * peaks[0]
