import os

from rsmtl.gdal import is_remote
from rsmtl.scene.sources import SourceFile, local_path, source_file
from tests.scene.rasters import image
from tests.scene.test_zarr import write as write_zarr


def test_a_local_file_has_size_and_time(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(b"12")
    assert source_file(str(path)) == SourceFile(str(path), 2, str(path.stat().st_mtime_ns))
    assert source_file(f"file://{path}").size_bytes == 2


def test_what_cannot_be_looked_at_has_neither(tmp_path):
    assert source_file(str(tmp_path / "nix")) == SourceFile(str(tmp_path / "nix"))
    assert source_file("/vsizip/a.zip/b.tif") == SourceFile("/vsizip/a.zip/b.tif")


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
