"""Zarr stores that were never finished, or never right."""

import json
import shutil
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pyproj
import rioxarray  # noqa: F401  # gives arrays their `.rio`
import xarray as xr
import zarr

from tests.awkward.table import Rows
from tests.scene.rasters import CRS, grid, image

rows = Rows()

WKT = pyproj.CRS(CRS).to_wkt()
VALUES = image(1, 40, 30)[0]


def store(folder: Path, values: Any = VALUES, *, dims: tuple[str, ...] = ("y", "x"), **encoding: Any) -> Path:
    """A store with the variable `dn`, of version 3 unless said, with a chunk for 16×16 pixels."""
    path, version = folder / "a.zarr", encoding.pop("zarr_format", 3)
    array = xr.DataArray(values, dims=dims).rio.write_crs(CRS).rio.write_transform(grid())
    encoding = {"chunks": (16,) * array.ndim, **encoding, "grid_mapping": "spatial_ref"}
    xr.Dataset({"dn": array}).to_zarr(
        path, zarr_format=version, consolidated=False, encoding={"dn": encoding}
    )
    return path


def edited(path: Path, **changes: Any) -> Path:
    """The store, with other metadata of `dn`."""
    file = path / "dn" / "zarr.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    return path


def saying(path: Path, **attributes: Any) -> Path:
    """The store, with other attributes of `dn`."""
    return edited(
        path, attributes={**json.loads((path / "dn/zarr.json").read_text())["attributes"], **attributes}
    )


def georeferenced(path: Path, **attributes: Any) -> Path:
    """The store, with these attributes of `spatial_ref` and no others."""
    file = path / "spatial_ref" / "zarr.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "attributes": attributes}))
    return path


def chunks(path: Path) -> list[Path]:
    return sorted(file for file in (path / "dn" / "c").rglob("*") if file.is_file())


@rows("a store that is right")
def _(folder):
    return store(folder)


@rows("a store of version 2")
def _(folder):
    return store(folder, zarr_format=2)


@rows("a store that is an empty folder", r"a.zarr' cannot be opened as a Zarr store")
def _(folder):
    (folder / "a.zarr").mkdir()
    return folder / "a.zarr"


@rows("a store that is not there", "cannot be opened as a Zarr store .*give")
def _(folder):
    return folder / "a.zarr"


@rows("a store that is a file", "cannot be opened as a Zarr store .*give")
def _(folder):
    (folder / "a.zarr").write_text("{}")
    return folder / "a.zarr"


@rows(
    "a store without the metadata of its array",
    "holds no array with y and x|cannot be opened as a Zarr store",
)
def _(folder):
    path = store(folder)
    (path / "dn" / "zarr.json").unlink()
    return path


@rows("a store without the metadata of its group", "cannot be opened as a Zarr store")
def _(folder):
    path = store(folder)
    (path / "zarr.json").unlink()
    return path


@rows("metadata cut in the middle", "cannot be opened as a Zarr store")
def _(folder):
    path = store(folder)
    text = (path / "dn" / "zarr.json").read_text()
    (path / "dn" / "zarr.json").write_text(text[: len(text) // 2])
    return path


@rows("metadata of 0 bytes", "cannot be opened as a Zarr store")
def _(folder):
    path = store(folder)
    (path / "dn" / "zarr.json").write_text("")
    return path


@rows("metadata that is a list", "cannot be opened as a Zarr store")
def _(folder):
    path = store(folder)
    (path / "zarr.json").write_text("[]")
    return path


@rows("chunks that are missing")
def _(folder):
    path = store(folder)
    chunks(path)[1].unlink()
    return path


@rows("no chunk at all")
def _(folder):
    path = store(folder)
    shutil.rmtree(path / "dn" / "c")
    return path


@rows("a chunk cut in the middle", "cannot be read at rows .* the file is damaged", 1)
def _(folder):
    path = store(folder)
    file = chunks(path)[0]
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return path


@rows("a chunk of 0 bytes", "cannot be read at rows .* the file is damaged", 1)
def _(folder):
    path = store(folder)
    chunks(path)[0].write_bytes(b"")
    return path


@rows("a chunk of noise", "cannot be read at rows .* the file is damaged", 1)
def _(folder):
    path = store(folder)
    chunks(path)[0].write_bytes(np.random.default_rng(0).bytes(500))
    return path


@rows("a chunk that is a folder")
def _(folder):
    path = store(folder)
    chunks(path)[0].unlink()
    chunks(path)[0].parent.joinpath("0").mkdir(exist_ok=True)
    return path


@rows("a shard cut in the middle", "cannot be read at rows .* the file is damaged", 1)
def _(folder):
    path = store(folder, shards=(32, 32))
    file = chunks(path)[0]
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return path


@rows("a shard with a flipped bit", "cannot be read at rows .* the file is damaged", 1)
def _(folder):
    path = store(folder, shards=(32, 32))
    content = bytearray(chunks(path)[0].read_bytes())
    content[-10] ^= 1
    chunks(path)[0].write_bytes(content)
    return path


@rows("a chunk of 400 bytes that grows to 256 MiB", "cannot be read at rows", 1)
def _(folder):
    path = store(folder)
    chunks(path)[0].write_bytes(numcodecs.Zstd(1).encode(bytes(2**28)))
    return path


@rows("a codec that nobody knows", "cannot be opened as a Zarr store")
def _(folder):
    return edited(store(folder), codecs=[{"name": "bytes"}, {"name": "no-such-codec", "configuration": {}}])


@rows("a codec that runs what it finds", "cannot be opened as a Zarr store")
def _(folder):
    return edited(store(folder), codecs=[{"name": "numcodecs.pickle", "configuration": {}}])


@rows("a negative shape", "cannot be opened as a Zarr store|empty")
def _(folder):
    return edited(store(folder), shape=[-40, -30])


@rows("a shape of text", "cannot be opened as a Zarr store")
def _(folder):
    return edited(store(folder), shape=["forty", "thirty"])


@rows("a shape of 10^9 × 10^9", "claims 1,000,000,000 × 1,000,000,000 pixels")
def _(folder):
    return edited(store(folder), shape=[10**9, 10**9])


@rows("a shape of 10^30 × 10^30", "claims|cannot be opened as a Zarr store")
def _(folder):
    return edited(store(folder), shape=[10**30, 10**30])


@rows("a chunk of 10^5 × 10^5", "is stored in blocks of 18.6 GiB.*write it anew with smaller chunks")
def _(folder):
    grid_of_chunks = {"name": "regular", "configuration": {"chunk_shape": [10**5, 10**5]}}
    return edited(store(folder), chunk_grid=grid_of_chunks, shape=[10**5, 10**5])


@rows("chunks of no size", "has chunks of no size")
def _(folder):
    grid_of_chunks = {"name": "regular", "configuration": {"chunk_shape": [0, 0]}}
    return edited(store(folder), chunk_grid=grid_of_chunks)


@rows("coordinates of 10^12 numbers", "claims 10 × 1,000,000,000,000 pixels")
def _(folder):
    path = folder / "a.zarr"
    group = zarr.create_group(path)
    group.create_array("dn", shape=(10, 10**12), chunks=(10, 100), dtype="u1", dimension_names=("y", "x"))
    group.create_array("x", shape=(10**12,), chunks=(100,), dtype="f8", dimension_names=("x",))
    return path


@rows("no pixels", "is empty, its shape is")
def _(folder):
    path = folder / "a.zarr"
    zarr.create_group(path).create_array(
        "dn", shape=(0, 30), chunks=(1, 30), dtype="u1", dimension_names=("y", "x")
    )
    return path


@rows("2,000 bands", "holds 2,000 bands, at most")
def _(folder):
    return store(folder, np.ones((2000, 4, 4), np.uint8), dims=("band", "y", "x"), chunks=(2000, 4, 4))


@rows("a time axis", "select one time")
def _(folder):
    return store(folder, np.ones((3, 40, 30), np.uint8), dims=("time", "y", "x"))


@rows("four dimensions", "select one time|has the dimensions")
def _(folder):
    return store(folder, np.ones((2, 2, 8, 8), np.uint8), dims=("a", "b", "y", "x"), chunks=(1, 1, 8, 8))


@rows("dimensions of other names", "two must be called y and x")
def _(folder):
    path = folder / "a.zarr"
    xr.Dataset({"dn": (("rows", "cols"), VALUES)}).to_zarr(path, consolidated=False)
    return path


@rows("values of text", "holds .* values: give integers or real numbers")
def _(folder):
    path = folder / "a.zarr"
    xr.Dataset({"dn": (("y", "x"), np.full((4, 4), "text"))}).to_zarr(path, consolidated=False)
    return path


@rows("values of Python objects", "cannot be opened as a Zarr store|holds object values")
def _(folder):
    path = store(folder, zarr_format=2)
    file = path / "dn" / ".zarray"
    file.write_text(
        json.dumps({**json.loads(file.read_text()), "dtype": "|O", "filters": [{"id": "pickle"}]})
    )
    return path


@rows("complex values", "give integers or real numbers")
def _(folder):
    return store(folder, VALUES.astype("complex64"))


@rows("a transform of NaN in a store", "puts its pixels on no map")
def _(folder):
    return georeferenced(store(folder), crs_wkt=WKT, GeoTransform="nan nan nan nan nan nan")


@rows("a transform of letters", "has the transform 'a b c d e f', which is none: write the right one")
def _(folder):
    return georeferenced(store(folder), crs_wkt=WKT, GeoTransform="a b c d e f")


@rows("a CRS of nonsense", "has a coordinate reference system that cannot be understood")
def _(folder):
    return georeferenced(store(folder), crs_wkt="PROJCS[broken", GeoTransform="500000 10 0 5000000 0 -10")


@rows("no CRS in a store", "has no coordinate reference system")
def _(folder):
    path = folder / "a.zarr"
    xr.Dataset({"dn": (("y", "x"), VALUES)}).to_zarr(path, consolidated=False)
    return path


def placed(folder: Path, y: Any, x: Any) -> Path:
    """A store with coordinates, and no transform."""
    path = folder / "a.zarr"
    array = xr.DataArray(VALUES, dims=("y", "x"), coords={"y": y, "x": x}).rio.write_crs(CRS)
    array.encoding = {"grid_mapping": "spatial_ref"}
    array.to_dataset(name="dn").to_zarr(path, consolidated=False)
    return path


Y, X = 5e6 - 10 * np.arange(40.0), 5e5 + 10 * np.arange(30.0)


@rows("coordinates that are right")
def _(folder):
    return placed(folder, Y, X)


@rows("coordinates in no order", "unevenly spaced coordinates x")
def _(folder):
    return placed(folder, Y, np.random.default_rng(0).permutation(X))


@rows("coordinates at uneven distances", "unevenly spaced coordinates x")
def _(folder):
    return placed(folder, Y, X + np.arange(30) ** 2)


@rows("coordinates of NaN", "coordinates|affine transform")
def _(folder):
    return placed(folder, Y, np.full(30, np.nan))


@rows("coordinates that are all the same", "coordinates|affine transform")
def _(folder):
    return placed(folder, np.full(40, 5e6), X)


@rows("coordinates of text", "coordinates")
def _(folder):
    return placed(folder, Y, np.array([f"x{k}" for k in range(30)]))


@rows("a scale that is text", "give integers or real numbers")
def _(folder):
    return saying(store(folder), scale_factor="ten")


@rows("a scale of NaN in a store", "multiplied by nan")
def _(folder):
    return saying(store(folder), scale_factor=float("nan"))


@rows("a store whose array is a link to itself", "cannot be opened as a Zarr store|holds no array")
def _(folder):
    path = store(folder)
    shutil.rmtree(path / "dn")
    (path / "dn").symlink_to(path / "dn")
    return path


@rows("a store that links to the folder above it")
def _(folder):
    path = store(folder)
    (path / "up").symlink_to(path)
    return path
