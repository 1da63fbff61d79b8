"""Catalogues come from others: what they name is read only if they may name it, and nothing is unpickled."""

import json
import pickle
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from rsmtl.errors import SceneError
from rsmtl.scene.open import open_scene, scene_refs
from rsmtl.scene.trust import trusted
from tests.scene.conftest import served as served
from tests.scene.rasters import asset, image, write_catalog, write_item, write_raster

REMOTE = "https://catalogue.example/items/item.json"


@pytest.mark.parametrize(
    "href",
    [
        "/etc/passwd",
        "file:///etc/passwd",
        "/vsicurl/http://x/a.tif",
        "/vsizip//etc/a.zip/a.tif",
        "/vsistdin/",
        "simplecache::file:///etc/passwd",
        "zip://a.json::file:///etc/a.zip",
        "https://x/a.json::file:///etc/a",
        "reference://",
        "vrt:///etc/a.tif",
        "WMS:http://x",
        "PG:host=x",
        "MEM:::DATAPOINTER=1",
        "<VRTDataset/>",
        "ftp://x/a.tif",
        "http://127.0.0.1:8787/info",
        "http://[::1]/a.tif",
        "http://localhost/a.tif",
        "http://0.0.0.0/a.tif",
        "http://169.254.169.254/latest/meta-data",
        "http://127.1/a.tif",
        "http://2130706433/a.tif",
        "http://0x7f000001/a.tif",
        "http://0x7f.1/a.tif",
        "http://0177.0.0.1/a.tif",
        "http://0/a.tif",
        "http://0.1.2.3/a.tif",
        "http://2852039166/latest/meta-data",
        "http://127.0.0.1./a.tif",
        "http://localhost./a.tif",
        "http://LOCALHOST:8787/a.tif",
        "http://%6cocalhost/a.tif",
        "http://127\u30020\u30020\u30021/a.tif",
        "http://\uff11\uff12\uff17.0.0.1/a.tif",
        "http://user@127.0.0.1:80/a.tif",
        "http://[0:0:0:0:0:ffff:127.0.0.1]/a.tif",
        "http://[::ffff:7f00:1]/a.tif",
        "http://[::127.0.0.1]/a.tif",
        "http://[64:ff9b::7f00:1]/a.tif",
        "http://[2002:7f00:1::]/a.tif",
        "http://[::]/a.tif",
        "http://[fe80::1%25eth0]/a.tif",
        "http://[fd00:ec2::254]/latest/meta-data",
        "http://metadata.google.internal/a",
        "http:///127.0.0.1/a.tif",
        "http:127.0.0.1/a.tif",
        "http://127.0.0.1\\@other.example/a.tif",
        "http://other.example@127.0.0.1@x/a.tif",
        "http://[::1/a.tif",
        "http://[2001:db8::1]/a.json::file:///etc/a",
        "simplecache::http://[2001:db8::1]/a.tif",
    ],
)
def test_what_came_over_the_network_names_no_file_or_service_of_ours(href: str) -> None:
    with pytest.raises(SceneError, match=r"^'https://catalogue.example/items/item.json' names '"):
        trusted(REMOTE, href)


@pytest.mark.parametrize(
    "href",
    [
        "https://other.example/a.tif",
        "https://other.example./a b.tif",
        "https://127.0.0.1.other.example/a.tif",
        "s3://bucket/a.tif",
        "gs://b/a.tif",
        "http://10.0.0.1/a.tif",
        "http://[2001:db8::1]/a.tif",
        "http://[2001:db8::1]:8080/a.tif",
        "http://[::ffff:10.0.0.1]/a.tif",
    ],
)
def test_what_came_over_the_network_names_servers_and_stores(href: str) -> None:
    assert trusted(REMOTE, href) == href


def test_a_document_of_this_machine_names_what_is_on_it() -> None:
    for document in ("http://127.0.0.1:8080/item.json", "http://localhost/item.json"):
        href = document.replace("item.json", "a.tif")
        assert trusted(document, href) == href
    for href in ("/data/a.tif", "file:///data/a.tif", "https://x/a.tif"):
        assert trusted("/data/item.json", href) == href
    for href in ("simplecache::https://x/a.tif", "/vsizip/a.zip/a.tif", "vrt:///data/a.tif"):
        with pytest.raises(SceneError, match="which is neither a path nor a URL"):
            trusted("/data/item.json", href)


def test_a_served_item_cannot_have_local_files_read(served: str, tmp_path: Path) -> None:
    secret = write_raster(tmp_path / "secret.tif", image(3, 32, 32))
    for k, href in enumerate((f"file://{secret}", f"/vsizip/{secret}")):
        write_item(tmp_path, {"image": asset(href)}, item_id=f"hostile-{k}")
        with pytest.raises(SceneError):
            open_scene(f"{served}/hostile-{k}.json")


def test_a_served_catalogue_cannot_have_local_items_read(served: str, tmp_path: Path) -> None:
    item = write_item(tmp_path, {"image": asset("a.tif")})
    for kind in ("items", "children"):
        write_catalog(tmp_path / kind, **{kind: (f"file://{item}",)})
        with pytest.raises(SceneError, match="may name nothing but URLs"):
            list(scene_refs(f"{served}/{kind}/catalog.json"))


def vrt_of(source: str, kind: str = "VRTDataset") -> str:
    """A virtual raster of a file: plain, warped or pansharpened."""
    name = f'<SourceFilename relativeToVRT="0">{source}</SourceFilename>'
    band = '<VRTRasterBand dataType="UInt16" band="1"'
    head = "<SRS>EPSG:32631</SRS><GeoTransform>500000,10,0,5000000,0,-10</GeoTransform>"
    inside = {
        "VRTDataset": f"{band}><SimpleSource>{name}<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>",
        "VRTWarpedDataset": f"{band} subClass='VRTWarpedRasterBand'/><GDALWarpOptions><SourceDataset>{source}"
        "</SourceDataset></GDALWarpOptions>",
        "VRTPansharpenedDataset": f"<PansharpeningOptions><PanchroBand>{name}<SourceBand>1</SourceBand></PanchroBand>"
        f"<SpectralBand dstBand='1'>{name}<SourceBand>1</SourceBand></SpectralBand></PansharpeningOptions>",
    }[kind]
    sub = "" if kind == "VRTDataset" else f' subClass="{kind}"'
    return f'<VRTDataset rasterXSize="32" rasterYSize="32"{sub}>{head}{inside}</VRTDataset>'


def test_a_served_vrt_cannot_have_local_files_read(served: str, tmp_path: Path) -> None:
    secret = write_raster(tmp_path / "secret.tif", image(1, 32, 32))
    for name in ("list.vrt", "list.tif"):
        (tmp_path / name).write_text(vrt_of(str(secret)))
        with pytest.raises(
            SceneError, match="from servers only formats that hold their own pixels are taken"
        ):
            open_scene(f"{served}/{name}")
    assert open_scene(tmp_path / "list.vrt").inputs["image"].read(slice(0, 1), slice(0, 1)).size == 1
    assert open_scene(f"{served}/secret.tif").inputs["image"].bands == ("1",)


@pytest.mark.parametrize("kind", ["VRTDataset", "VRTWarpedDataset", "VRTPansharpenedDataset"])
def test_a_served_vrt_has_no_request_made(served: str, tmp_path: Path, kind: str) -> None:
    """A service of this machine would have seen it, though the VRT was refused afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as service:
        service.setblocking(False)
        port = service.getsockname()[1]
        (tmp_path / "list.vrt").write_text(vrt_of(f"/vsicurl/http://127.0.0.1:{port}/inside.tif", kind))
        with rasterio.Env(GDAL_HTTP_TIMEOUT=1, GDAL_HTTP_MAX_RETRY=0), pytest.raises(SceneError):
            open_scene(f"{served}/list.vrt")
        with pytest.raises(BlockingIOError):
            service.accept()


_RUN: list[str] = []


class _Hostile:
    def __reduce__(self) -> Any:
        return _RUN.append, ("a pickle was read",)


@pytest.mark.parametrize("dtype", ["<u2", "|O"])
@pytest.mark.parametrize("place", ["compressor", "filters", "last filter"])
@pytest.mark.parametrize("array", ["band", "x"])
def test_a_zarr_store_cannot_have_a_pickle_read(tmp_path: Path, dtype: str, place: str, array: str) -> None:
    store, pickled = tmp_path / "hostile.zarr", {"id": "pickle"}
    store.mkdir()
    (store / ".zgroup").write_text('{"zarr_format": 2}')
    for name, dims in (("band", ["y", "x"]), ("y", ["y"]), ("x", ["x"])):
        about: dict[str, Any] = {
            "zarr_format": 2,
            "dtype": "<u2",
            "compressor": None,
            "filters": None,
            "order": "C",
        }
        about |= {"shape": [4] * len(dims), "chunks": [4] * len(dims), "fill_value": 0}
        if name == array:
            about |= {"dtype": dtype, "fill_value": 0 if dtype == "<u2" else None}
            about["compressor"] = pickled if place == "compressor" else None
            filters = {"filters": [pickled], "last filter": [{"id": "vlen-utf8"}, pickled]}
            about["filters"] = filters.get(place)
        (store / name).mkdir()
        (store / name / ".zarray").write_text(json.dumps(about))
        (store / name / ".zattrs").write_text(json.dumps({"_ARRAY_DIMENSIONS": dims}))
        (store / name / ".".join("0" * len(dims))).write_bytes(
            pickle.dumps(_Hostile()) if name == array else np.arange(4 ** len(dims), dtype="<u2").tobytes()
        )
    with pytest.raises(SceneError, match=r"hostile\.zarr"):
        open_scene(store)
    assert _RUN == []
