import os
from pathlib import Path
from zipfile import ZipFile

import pytest
import rasterio.shutil

from rsmtl.errors import RunError
from rsmtl.gdal import is_remote
from rsmtl.scene.open import open_scene
from rsmtl.scene.sources import SIDES, SourceFile, check_unchanged, document_source, local_path, source_file
from tests.scene.rasters import image, write_raster
from tests.scene.test_zarr import write as write_zarr


def test_a_local_file_has_size_times_and_inode(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(b"12")
    stat = path.stat()
    version = f"{stat.st_mtime_ns}-{stat.st_ctime_ns}@{stat.st_ino}"
    assert source_file(str(path)) == SourceFile(str(path), 2, version)
    assert source_file(f"file://{path}").size_bytes == 2


def replaced(path, content=b"21"):
    """Put another file of the same size and time in the place of one."""
    times = path.stat()
    other = path.with_name("other")
    other.write_bytes(content)
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(path)


def test_a_file_replaced_by_one_of_the_same_size_and_time_is_another(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(b"12")
    before = source_file(str(path))
    replaced(path)
    assert source_file(str(path)).size_bytes == before.size_bytes
    assert source_file(str(path)).version != before.version
    with pytest.raises(RunError, match="changed while it was read"):
        check_unchanged([before])


@pytest.mark.parametrize("side", SIDES)
def test_a_file_beside_a_raster_counts(tmp_path, side):
    path = tmp_path / "a.tif"
    path.write_bytes(b"12")
    beside = Path(f"{path}{side}")
    versions = [source_file(str(path)).version]
    beside.write_bytes(b"1")
    versions.append(source_file(str(path)).version)
    replaced(beside, b"2")
    versions.append(source_file(str(path)).version)
    assert len(set(versions)) == 3


def test_tiles_of_a_vrt_count_and_those_of_one_in_it(tmp_path):
    write_raster(tmp_path / "tile.tif", image(1, 8, 8))
    inner, outer = tmp_path / "inner.vrt", tmp_path / "outer.vrt"
    rasterio.shutil.copy(tmp_path / "tile.tif", inner, driver="VRT")
    outer.write_text(inner.read_text().replace("tile.tif", "inner.vrt"))
    before = open_scene(outer).sources
    assert {Path(source.href).name for source in before} == {"tile.tif", "inner.vrt", "outer.vrt"}
    replaced(tmp_path / "tile.tif", (tmp_path / "tile.tif").read_bytes())
    after = open_scene(outer).sources
    assert [a.href for a, b in zip(before, after, strict=True) if a != b] == [str(tmp_path / "tile.tif")]


@pytest.mark.parametrize("name", ["/vsizip/{}/a.tif", "/vsizip/{{{}}}/a.tif", "zip://{}!a.tif"])
def test_what_is_in_an_archive_has_the_version_of_the_archive(tmp_path, name):
    archive = tmp_path / "z.zip"
    with ZipFile(archive, "w") as file:
        file.writestr("a.tif", b"1")
    before = source_file(name.format(archive))
    assert before.version
    replaced(archive, archive.read_bytes())
    assert source_file(name.format(archive)).version not in ("", before.version)


def test_what_cannot_be_looked_at_has_neither(tmp_path):
    assert source_file(str(tmp_path / "nix")) == SourceFile(str(tmp_path / "nix"))
    for unknown in ("/vsizip/a.zip/b.tif", "/vsimem/a.tif", "/vsizip//vsimem/a.zip/b.tif"):
        assert source_file(unknown) == SourceFile(unknown)


def test_an_item_is_what_it_says_wherever_it_lies():
    item = {"id": "a", "properties": {}, "links": [{"rel": "self", "href": "/x/a.json"}]}
    item["assets"] = {"red": {"href": "https://host/x/red.tif?sig=1", "roles": ["data"]}}
    moved = {**item, "links": [], "assets": {"red": {"href": "../y/red.tif", "roles": ["data"]}}}
    edited = {**moved, "properties": {"eo:cloud_cover": 3}}
    told = [document_source("/x/a.json", one).version for one in (item, moved, edited)]
    assert told[0] == told[1] != told[2]


def test_a_zarr_store_changes_with_its_chunks_and_with_its_metadata(tmp_path):
    store = write_zarr(tmp_path / "a.zarr", dn=image(1, 8, 8))
    before = source_file(str(store))
    assert before == source_file(str(store))
    assert before.size_bytes == sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    chunk = next(path for path in (store / "dn" / "c").rglob("*") if path.is_file())
    times = (chunk.stat().st_atime_ns, chunk.stat().st_mtime_ns)
    os.utime(chunk, ns=(times[0], times[1] + 10**9))
    touched = source_file(str(store))
    assert touched.version != before.version
    metadata = store / "zarr.json"
    times = (metadata.stat().st_atime_ns, metadata.stat().st_mtime_ns)
    metadata.write_text(metadata.read_text().replace("3", "4"))
    os.utime(metadata, ns=times)
    assert source_file(str(store)).version != touched.version


def test_remote_and_local():
    assert is_remote("https://x/y.tif")
    assert is_remote("s3://x/y.tif")
    assert not is_remote("/x/y.tif")
    assert not is_remote("file:///x/y.tif")
    assert str(local_path("file:///x/y.tif")) == "/x/y.tif"
