import dataclasses
import json
import os
import resource
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rioxarray  # noqa: F401
import xarray as xr
import zarr
from affine import Affine
from odc.geo.geobox import GeoBox

from rsmtl.errors import PlanError, RunError
from rsmtl.store.grid import output_geobox
from rsmtl.store.output import Output
from rsmtl.store.zarr import content_hash, create_store, group_name, open_product, read_region, write_shard
from tests.store.products import CLASSES, COARSE, HRMS, SEGMENTATION, SUPER, utm

CHUNK = 192
ALL = (SEGMENTATION, HRMS, SUPER, COARSE)


def pixels(output: Output, reference: GeoBox, seed: int = 0) -> np.ndarray:
    height, width = output_geobox(reference, output).shape
    rng = np.random.default_rng(seed)
    return rng.integers(0, 200, (len(output.bands), height, width)).astype(output.dtype)


def write_all(folder: Path, output: Output, values: np.ndarray) -> list[str]:
    edge = int(CHUNK * output.scale)
    _, height, width = values.shape
    return [
        write_shard(folder, output, y, x, values[:, y : y + edge, x : x + edge])
        for y in range(0, height, edge)
        for x in range(0, width, edge)
    ]


@pytest.fixture
def product(tmp_path: Path) -> Path:
    create_store(tmp_path, ALL, utm(401, 505), CHUNK)
    return tmp_path


@pytest.mark.parametrize("output", ALL, ids=lambda output: output.name)
def test_what_was_written_shard_by_shard_is_read_again(product: Path, output: Output) -> None:
    values = pixels(output, utm(401, 505))
    write_all(product, output, values)
    np.testing.assert_array_equal(read_region(product, output, slice(None), slice(None)), values)
    np.testing.assert_array_equal(
        read_region(product, output, slice(7, 50), slice(90, 91)), values[:, 7:50, 90:91]
    )


def test_pixels_never_written_are_nodata(product: Path) -> None:
    write_shard(product, SEGMENTATION, 0, CHUNK, np.ones((1, CHUNK, CHUNK), np.uint8))
    found = read_region(product, SEGMENTATION, slice(None), slice(None))
    assert (found == 1).sum() == CHUNK**2
    assert (found == 255).sum() == found.size - CHUNK**2
    assert np.isnan(read_region(product, COARSE, slice(0, 2), slice(0, 2))).all()


def test_a_shard_is_one_file_even_at_the_scenes_end(product: Path) -> None:
    values = pixels(HRMS, utm(401, 505))
    write_all(product, HRMS, values)
    files = [p for p in (product / "product.zarr/10m/hrms/c").rglob("*") if p.is_file()]
    assert sorted(str(p.relative_to(product / "product.zarr/10m/hrms")) for p in files) == [
        f"c/0/{y}/{x}" for y in range(3) for x in range(3)
    ]
    assert [p.name for p in product.iterdir()] == ["product.zarr"]


@pytest.mark.parametrize(
    ("y", "x", "shape", "dtype", "message"),
    [
        (
            5,
            0,
            (1, 192, 192),
            "uint8",
            r"starts at multiples of 192 pixels, got \(5, 0\): two writers would share",
        ),
        (
            0,
            192,
            (1, 191, 192),
            "uint8",
            r"at \(0, 192\) has shape \(1, 192, 192\), got \(1, 191, 192\): write it w",
        ),
        (384, 384, (1, 192, 192), "uint8", r"at \(384, 384\) has shape \(1, 17, 121\), got \(1, 192, 192\)"),
        (0, 0, (2, 192, 192), "uint8", r"has shape \(1, 192, 192\), got \(2, 192, 192\)"),
        (0, 0, (1, 192, 192), "int16", "'segmentation' is stored as uint8, got int16"),
    ],
)
def test_anything_but_a_whole_shard_is_refused(
    product: Path, y: int, x: int, shape: tuple[int, ...], dtype: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_shard(product, SEGMENTATION, y, x, np.zeros(shape, dtype))


def test_the_hash_tells_content_not_layout(product: Path) -> None:
    values = pixels(SUPER, utm(401, 505))[:, :768, :768]
    written = write_shard(product, SUPER, 0, 0, np.asfortranarray(values))
    assert written == content_hash(values)
    assert content_hash(read_region(product, SUPER, slice(0, 768), slice(0, 768))) == written
    assert content_hash(values.reshape(3, 384, -1)) != written
    assert content_hash(values.view(np.int8)) != written


def test_a_torn_shard_is_replaced(product: Path) -> None:
    values = np.ones((1, CHUNK, CHUNK), np.uint8)
    write_shard(product, SEGMENTATION, 0, 0, values)
    file = product / "product.zarr/10m/segmentation/c/0/0/0"
    os.truncate(file, file.stat().st_size // 2)
    write_shard(product, SEGMENTATION, 0, 0, values)
    assert (read_region(product, SEGMENTATION, slice(0, CHUNK), slice(0, CHUNK)) == 1).all()


def test_a_shard_that_becomes_nodata_is_nodata(product: Path) -> None:
    write_shard(product, SEGMENTATION, 0, 0, np.ones((1, CHUNK, CHUNK), np.uint8))
    write_shard(product, SEGMENTATION, 0, 0, np.full((1, CHUNK, CHUNK), 255, np.uint8))
    assert (read_region(product, SEGMENTATION, slice(0, CHUNK), slice(0, CHUNK)) == 255).all()


def test_a_writer_killed_at_any_moment_leaves_old_or_new(product: Path) -> None:
    """A process rewrites one shard with 1s and 2s by turns and is killed twelve times."""
    code = (
        "import sys, numpy as np; from pathlib import Path; from itertools import cycle\n"
        "from rsmtl.store.zarr import write_shard; from tests.store.products import SUPER\n"
        "one = np.random.default_rng(0).integers(1, 200, (3, 768, 768), np.uint8)\n"
        "for values in cycle((one, one + np.uint8(50))):\n"
        "    print(write_shard(Path(sys.argv[1]), SUPER, 0, 0, values), flush=True)"
    )
    one = np.random.default_rng(0).integers(1, 200, (3, 768, 768), np.uint8)
    whole = {content_hash(one), content_hash(one + np.uint8(50))}
    process: Any
    with subprocess.Popen([sys.executable, "-c", code, str(product)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(40):  # readers beside the writer, too
            process.stdout.readline()
            assert content_hash(read_region(product, SUPER, slice(0, 768), slice(0, 768))) in whole
        process.kill()
    assert content_hash(read_region(product, SUPER, slice(0, 768), slice(0, 768))) in whole
    create_store(product, ALL, utm(401, 505), CHUNK)
    assert set(open_product(product)) == {"10m", "2.5m", "40m"}


def test_a_store_that_stands_is_left_alone(product: Path) -> None:
    write_shard(product, SEGMENTATION, 0, 0, np.ones((1, CHUNK, CHUNK), np.uint8))
    create_store(product, ALL, utm(401, 505), CHUNK)
    assert (read_region(product, SEGMENTATION, slice(0, 2), slice(0, 2)) == 1).all()


def test_xarray_and_rioxarray_find_grid_nodata_and_meaning(product: Path) -> None:
    reference = utm(401, 505)
    for output in ALL:
        write_all(product, output, pixels(output, reference))
    opened = open_product(product)
    assert {name: sorted(map(str, ds.data_vars)) for name, ds in opened.items()} == {
        "10m": ["hrms", "segmentation"],
        "2.5m": ["sr"],
        "40m": ["ms"],
    }
    for output, group in ((SEGMENTATION, "10m"), (HRMS, "10m"), (SUPER, "2.5m"), (COARSE, "40m")):
        array, grid = opened[group][output.name], output_geobox(reference, output)
        assert array.dims == (f"{output.name}_band", "y", "x")
        assert array.odc.geobox == grid
        assert array.rio.crs.to_epsg() == 32633
        assert array.rio.transform() == grid.affine
        np.testing.assert_equal(array.rio.nodata, output.nodata)
        assert array.dtype == output.dtype
        np.testing.assert_array_equal(array, pixels(output, reference))
        assert array.chunks is None  # lazy, but not Dask: a graph would be as large as the scene
    attributes = opened["10m"]["segmentation"].attrs
    assert attributes["flag_values"] == [0, 1, 2]
    assert attributes["flag_meanings"] == "bare_land forest water"
    assert attributes["flag_colors"].split()[1] == "#146e28"
    assert opened["10m"]["hrms"].attrs["long_name"] == list(HRMS.bands)
    assert len(attributes["flag_meanings"].split()) == len(CLASSES)


def test_xarray_by_itself_masks_and_scales(product: Path) -> None:
    values = pixels(HRMS, utm(401, 505))
    write_all(product, HRMS, values)
    found = xr.open_zarr(product / "product.zarr", group="10m", decode_coords="all", consolidated=False)[
        "hrms"
    ]
    expected = np.where(values == 0, np.nan, values * 1e-4 - 0.1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_bands_that_differ_in_scale_keep_their_numbers(tmp_path: Path) -> None:
    output = dataclasses.replace(HRMS, band_scale=(1e-4, 2e-4, 1e-4, 1e-4), band_offset=(0.0,))
    create_store(tmp_path, (output,), utm(50, 60), CHUNK)
    attributes = open_product(tmp_path)["10m"]["hrms"].attrs
    assert attributes["band_scales"] == [1e-4, 2e-4, 1e-4, 1e-4]
    assert not {"scale_factor", "add_offset", "band_offsets"} & set(attributes)


def test_a_geographic_grid_keeps_its_crs(tmp_path: Path) -> None:
    reference = GeoBox((31, 47), Affine(1e-4, 0, 12.3456789, 0, -1e-4, 41.9), "EPSG:4326")
    create_store(tmp_path, (SEGMENTATION, SUPER), reference, CHUNK)
    opened = open_product(tmp_path)
    assert set(opened) == {"0.0001deg", "2.5e-05deg"}
    assert opened["0.0001deg"]["segmentation"].odc.geobox == reference
    assert set(opened["0.0001deg"].coords) == {"y", "x", "spatial_ref"}
    np.testing.assert_allclose(opened["0.0001deg"].x[:2], [12.3457289, 12.3458289], rtol=0, atol=1e-12)
    assert opened["0.0001deg"]["segmentation"].rio.crs.to_epsg() == 4326


def test_groups_are_named_by_gsd() -> None:
    assert group_name(GeoBox((4, 4), Affine(2, 0, 0, 0, -1.5, 0), "EPSG:3857")) == "2x1.5m"
    assert group_name(GeoBox((4, 4), Affine(1, 0, 0, 0, -1, 0), "EPSG:2263")) == "1US_survey_foot"


@pytest.mark.parametrize(
    ("chunk", "scale", "inner"), [(4032, 1, 336), (4032, 4, 384), (448, 1, 448), (1021, 1, 1021), (64, 1, 64)]
)
def test_inner_chunks_divide_the_shard(tmp_path: Path, chunk: int, scale: int, inner: int) -> None:
    output = dataclasses.replace(HRMS, scale=Fraction(scale))
    create_store(tmp_path, (output,), utm(100, 100), chunk)
    array = zarr.open_group(tmp_path / "product.zarr", mode="r")
    (group,) = array
    found = array[f"{group}/hrms"]
    assert isinstance(found, zarr.Array)
    assert found.shards == (4, chunk * scale, chunk * scale)
    assert found.chunks == (1, inner, inner)


def test_a_chunk_that_is_no_whole_number_of_pixels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        PlanError, match="a chunk of 190 reference pixels is 95/2 pixels of 'ms' at scale 1/4, which"
    ):
        create_store(tmp_path, (COARSE,), utm(400, 400), 190)
    assert list(tmp_path.iterdir()) == []


def test_an_array_that_is_not_there_is_named(product: Path) -> None:
    with pytest.raises(
        RunError, match="holds no array 'other': it was removed, or another model's run made it; run"
    ):
        read_region(product, dataclasses.replace(HRMS, name="other"), slice(0, 1), slice(0, 1))


def test_a_scene_of_1e10_pixels_costs_no_memory(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    create_store(tmp_path, (SEGMENTATION, HRMS), utm(100_000, 100_000), 4032)
    write_shard(tmp_path, SEGMENTATION, 96768, 96768, np.ones((1, 3232, 3232), np.uint8))
    assert open_product(tmp_path)["10m"]["hrms"].shape == (4, 100_000, 100_000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KiB


def test_the_metadata_is_plain_zarr_v3(product: Path) -> None:
    text = json.loads((product / "product.zarr/10m/segmentation/zarr.json").read_text())
    assert text["zarr_format"] == 3
    assert text["fill_value"] == 255
    assert text["attributes"]["grid_mapping"] == "spatial_ref"
    (codec,) = text["codecs"]
    assert codec["name"] == "sharding_indexed"
    assert [c["name"] for c in codec["configuration"]["codecs"]] == ["bytes", "blosc"]


@pytest.mark.parametrize("scale", [Fraction(1), Fraction(4), Fraction(3), Fraction(1, 4), Fraction(2, 3)])
def test_an_outputs_grid_is_exact(scale: Fraction) -> None:
    reference = GeoBox((401, 402), Affine(0.3, 0, 0.1, 0, -0.3, 7.7), "EPSG:32633")
    grid = output_geobox(reference, dataclasses.replace(HRMS, scale=scale))
    assert grid.shape == (
        -(-401 * scale.numerator // scale.denominator),
        -(-402 * scale.numerator // scale.denominator),
    )
    assert (grid.affine.c, grid.affine.f) == (0.1, 7.7)
    assert grid.affine.a == 0.3 * scale.denominator / scale.numerator
    assert grid.affine.e == -grid.affine.a


def test_a_full_disk_is_a_sentence_and_leaves_what_stood(small_disk: Path) -> None:
    create_store(small_disk, (SEGMENTATION,), utm(4096, 4096), 1024)
    noise = np.random.default_rng(0).integers(0, 250, (1, 1024, 1024), dtype=np.uint8)
    for k in range(2):
        write_shard(small_disk, SEGMENTATION, 0, k * 1024, noise)
    with pytest.raises(RunError, match=r"cannot write .*/c/0/0/2: No space left on device; make room or"):
        write_shard(small_disk, SEGMENTATION, 0, 2048, noise)
    stored = read_region(small_disk, SEGMENTATION, slice(0, 1024), slice(0, 4096))
    whole = [(stored[..., k : k + 1024] == noise).all() for k in range(0, 4096, 1024)]
    empty = [(stored[..., k : k + 1024] == 255).all() for k in range(0, 4096, 1024)]
    assert whole == [True, True, False, False]
    assert empty == [False, False, True, True]
    assert [p.name for p in small_disk.iterdir()] == ["product.zarr"]
