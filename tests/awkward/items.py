"""STAC items that lie."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

from rasterio.shutil import copy

from tests.awkward.table import Rows
from tests.scene.rasters import asset, grid, image, write_catalog, write_item, write_raster

rows = Rows()

RIGHT = {
    "type": "Feature",
    "stac_version": "1.0.0",
    "id": "scene-1",
    "geometry": None,
    "properties": {"datetime": "2024-05-06T07:08:09Z"},
    "links": [],
    "assets": {"image": asset("a.tif")},
}


def item(folder: Path, text: str | bytes | None = None, /, **changes: Any) -> Path:
    """An item beside the raster it names; changed, or of any text."""
    folder.mkdir(exist_ok=True)
    write_raster(folder / "a.tif", image(1, 40, 30))
    path = folder / "item.json"
    said = json.dumps({**RIGHT, **changes}) if text is None else text
    path.write_bytes(said if isinstance(said, bytes) else said.encode("utf-8", "surrogatepass"))
    return path


def saying(folder: Path, **properties: Any) -> Path:
    """An item with more properties."""
    return item(folder, properties={**RIGHT["properties"], **properties})


def at(folder: Path, href: Any, **fields: Any) -> Path:
    """An item whose asset stands somewhere else."""
    return item(folder, assets={"image": asset(href, **fields)})


# What is no item.


@rows("an item that is right")
def _(folder):
    return item(folder)


@rows("an item of STAC 1.1")
def _(folder):
    return item(folder, stac_version="1.1.0")


@rows("an item that is not there", "item.json' does not exist")
def _(folder):
    return folder / "item.json"


@rows("an item of 0 bytes", "item.json' cannot be read as JSON")
def _(folder):
    return item(folder, "")


@rows("an item cut in the middle", "cannot be read as JSON")
def _(folder):
    return item(folder, json.dumps(RIGHT)[:100])


@rows("an item that is a folder", "cannot be read as JSON|is a folder")
def _(folder):
    (folder / "item.json").mkdir()
    return folder / "item.json"


@rows("an item that is a link to itself", "cannot be read as JSON|does not exist")
def _(folder):
    (folder / "item.json").symlink_to(folder / "item.json")
    return folder / "item.json"


@rows("an item that is a raster", "cannot be read as JSON")
def _(folder):
    return write_raster(folder / "a.tif", image(1, 40, 30)).rename(folder / "item.json")


for _name, _text in (
    ("null", "null"),
    ("a number", "7"),
    ("a list", "[]"),
    ("an empty object", "{}"),
    ("text", '"a"'),
):

    @rows(f"an item that is {_name}", "is JSON but not STAC")
    def _(folder, text=_text):
        return item(folder, text)


@rows("lists within lists, 100,000 deep", "cannot be read as JSON")
def _(folder):
    return item(folder, "[" * 100_000)


@rows("objects within objects, 400 deep, in its properties")
def _(folder):
    deep = '"properties": {"deep": ' + '{"a":' * 400 + "1" + "}" * 400 + ", "
    return item(folder, json.dumps(RIGHT).replace('"properties": {', deep))


@rows("a number of 100,000 digits", "cannot be read as JSON")
def _(folder):
    return item(folder, json.dumps(RIGHT).replace("null", "9" * 100_000, 1))


@rows("10 MB of properties")
def _(folder):
    return saying(folder, **{f"p{k}": "x" * 100 for k in range(100_000)})


@rows("an item of 257 MiB", "cannot be read as JSON .larger than 256 MiB")
def _(folder):
    path = item(folder)
    os.truncate(path, 257 * 2**20)
    return path


@rows("an item in UTF-16")
def _(folder):
    return item(folder, json.dumps(RIGHT).encode("utf-16"))


@rows("an item with a byte order mark")
def _(folder):
    return item(folder, b"\xef\xbb\xbf" + json.dumps(RIGHT).encode())


@rows("an item in Latin-1", "cannot be read as JSON")
def _(folder):
    return item(folder, json.dumps({**RIGHT, "id": "Zürich"}, ensure_ascii=False).encode("latin-1"))


@rows("an item packed by gzip", "cannot be read as JSON")
def _(folder):
    return item(folder, gzip.compress(json.dumps(RIGHT).encode()))


@rows("an item of STAC 0.9")
def _(folder):
    return item(folder, stac_version="0.9.0")


@rows("an item of STAC 99")
def _(folder):
    return item(folder, stac_version="99.0.0")


@rows("an item of no version", "is JSON but not STAC")
def _(folder):
    return item(folder, json.dumps({k: v for k, v in RIGHT.items() if k != "stac_version"}))


@rows("a version that is a list", "is JSON but not STAC")
def _(folder):
    return item(folder, stac_version=[1])


for _key, _value in (
    ("assets", None),
    ("assets", []),
    ("assets", "a.tif"),
    ("links", None),
    ("links", 3),
    ("properties", None),
    ("properties", []),
    ("type", "Elephant"),
    ("assets", {"image": "a.tif"}),
    ("assets", {"image": None}),
    ("assets", {"image": {}}),
    ("assets", {"image": {"href": None}}),
):

    @rows(f"{_key}: {json.dumps(_value)}", "is JSON but not STAC|has no raster asset|cannot be")
    def _(folder, key=_key, value=_value):
        return item(folder, **{key: value})


# Ids.


@rows("an id that climbs out")
def _(folder):
    return item(folder, id="../../../../../../tmp/pwned")


@rows("an id that is an absolute path")
def _(folder):
    return item(folder, id="/tmp/pwned")


@rows("an id of two dots")
def _(folder):
    return item(folder, id="..")


@rows("an empty id", "needs an id")
def _(folder):
    return item(folder, id="")


@rows("an id of 10,000 letters", "makes a folder name of 10000 bytes")
def _(folder):
    return item(folder, id="a" * 10_000)


@rows("an id with line breaks and control characters")
def _(folder):
    return item(folder, id="a\nb\r\x1b[2J\0c")


@rows("an id in many scripts")
def _(folder):
    return item(folder, id="Zürich 東京 🛰 \u202e")


@rows("extensions that are no list")
def _(folder):
    return item(folder, stac_extensions="x")


@rows("half a surrogate in an id", "holds half a surrogate pair, which is no text")
def _(folder):
    return item(folder, json.dumps(RIGHT).replace("scene-1", "\\ud800"))


@rows("half a surrogate in a name", "holds half a surrogate pair, which is no text")
def _(folder):
    return item(folder, json.dumps(RIGHT).replace('"image"', '"\\ud800"'))


@rows("an id that is a number", "has the id 7, which is no text")
def _(folder):
    return item(folder, id=7)


@rows("an id that is null", "has the id None, which is no text")
def _(folder):
    return item(folder, id=None)


@rows("an id that is a list", r"has the id \['a'\], which is no text")
def _(folder):
    return item(folder, id=["a"])


# Places and times.


@rows("a geometry of NaN")
def _(folder):
    point = {"type": "Point", "coordinates": [float("nan"), float("inf")]}
    return item(folder, geometry=point, bbox=[float("nan")] * 4)


@rows("a geometry that is text")
def _(folder):
    return item(folder, geometry="here", bbox="there")


@rows("properties of NaN and infinity")
def _(folder):
    return saying(folder, **{"eo:cloud_cover": float("nan"), "view:off_nadir": float("-inf")})


@rows("a platform that is an object")
def _(folder):
    return saying(folder, platform={"a": [1]}, instruments="none", **{"view:sun_azimuth": "north"})


@rows("no time", "is JSON but not STAC")
def _(folder):
    return item(folder, properties={"datetime": None})


@rows("a time in the year 0", "is JSON but not STAC")
def _(folder):
    return saying(folder, datetime="0000-00-00T00:00:00Z")


@rows("a time in the year 99999", "is JSON but not STAC")
def _(folder):
    return saying(folder, datetime="99999-01-01T00:00:00Z")


@rows("a time that is a number", "is JSON but not STAC")
def _(folder):
    return saying(folder, datetime=20240506)


@rows("an end before the beginning")
def _(folder):
    return saying(
        folder, datetime=None, start_datetime="2024-05-06T00:00:00Z", end_datetime="2020-01-01T00:00:00Z"
    )


# What it says of the raster.


@rows("another shape than the raster's")
def _(folder):
    return saying(folder, **{"proj:shape": [7, 9], "proj:transform": list(grid(77.0))[:6]})


@rows("another CRS than the raster's")
def _(folder):
    return saying(folder, **{"proj:code": "EPSG:4326", "proj:epsg": 3857})


@rows("a CRS that is none")
def _(folder):
    return saying(folder, **{"proj:code": "EPSG:99999999", "proj:wkt2": "broken", "proj:projjson": 3})


@rows("three bands of one", "gives nodata, scale or offset of 3")
def _(folder):
    return at(folder, "a.tif", **{"raster:bands": [{"nodata": 0, "scale": 2}] * 3})


@rows("bands that are no objects")
def _(folder):
    return at(folder, "a.tif", bands=["red"], **{"eo:bands": [None], "raster:bands": [7]})


@rows("nodata, scale and offset of nonsense")
def _(folder):
    return at(folder, "a.tif", bands=[{"nodata": {}, "raster:scale": "ten", "raster:offset": [1]}])


@rows("a scale of zero in the item", "multiplied by 0")
def _(folder):
    return at(folder, "a.tif", bands=[{"raster:scale": 0}])


@rows("a scale of NaN in the item", "multiplied by nan")
def _(folder):
    return at(folder, "a.tif", bands=[{"raster:scale": "nan"}])


@rows("bands with numbers for names")
def _(folder):
    return at(folder, "a.tif", bands=[{"name": 7, "eo:common_name": ["red"]}])


@rows("roles that are no list")
def _(folder):
    return item(folder, assets={"image": {**asset("a.tif"), "roles": "data"}})


@rows("a media type that is a number")
def _(folder):
    return item(folder, assets={"image": {**asset("a.tif"), "type": 7}})


@rows("no assets", "has no raster asset with role")
def _(folder):
    return item(folder, assets={})


@rows("10,000 assets without a raster", "has no raster asset with role")
def _(folder):
    return item(folder, assets={f"a{k}": {"href": "a.txt", "type": "text/plain"} for k in range(10_000)})


@rows("an asset that is asked for and missing", "has no asset 'nir': it has image")
def _(folder):
    return [item(folder), "--assets", "nir"]


# Hrefs.


@rows("an absolute href")
def _(folder):
    return at(folder, str(folder / "a.tif"))


@rows("a relative href")
def _(folder):
    return at(folder, "./b/../a.tif")


@rows("a file:// href")
def _(folder):
    return at(folder, (folder / "a.tif").as_uri())


@rows("a file:// href with a percent sign")
def _(folder):
    (folder / "a b").mkdir()
    copy(write_raster(folder / "a.tif", image(1, 40, 30)), folder / "a b" / "ü%.tif")
    return at(folder, (folder / "a b" / "ü%.tif").as_uri())


@rows("a relative href with a blank as %20")
def _(folder):
    write_raster(folder / "a b.tif", image(1, 40, 30))
    return at(folder, "a%20b.tif")


@rows("a relative href with a plain blank")
def _(folder):
    write_raster(folder / "a b.tif", image(1, 40, 30))
    return at(folder, "a b.tif")


@rows("a name that holds a percent sign")
def _(folder):
    write_raster(folder / "a%20b.tif", image(1, 40, 30))
    return at(folder, "a%20b.tif")


@rows("a href with a question mark")
def _(folder):
    write_raster(folder / "a?b=1#c.tif", image(1, 40, 30))
    return at(folder, "a?b=1#c.tif")


for _name, _href, _says in (
    ("nothing", "", "is a folder|does not exist|cannot be opened"),
    ("a file that is gone", "gone.tif", "gone.tif' does not exist"),
    ("a folder", "./", "is a folder"),
    ("/etc/passwd", "/etc/passwd", "/etc/passwd' cannot be opened as a raster"),
    ("a JSON", "item.json", "item.json' cannot be opened as a raster"),
    ("a closed port", "http://127.0.0.1:9/a.tif", "http://127.0.0.1:9/a.tif' cannot be opened as a raster"),
    ("a port that is none", "http://127.0.0.1:99999/a.tif", "cannot be opened as a raster"),
    ("a host that is none", "http://no-such-host.invalid/a.tif", "cannot be opened as a raster"),
    ("an object store that is none", "s3://no-such-bucket-of-anybody/a.tif", "cannot be opened as a raster"),
    ("a scheme that is none", "gopher://a/b.tif", "which is neither a path nor a URL: correct it"),
    ("a script", "javascript:alert(1)", "which is neither a path nor a URL: correct it"),
    ("a name with a NUL", "a\0.tif", "does not exist|cannot be opened"),
    ("a name with a line break", "a\nb.tif", "does not exist"),
    ("half a surrogate", "\ud800.tif", "holds half a surrogate pair"),
    ("100,000 letters", "a" * 100_000, "a href of 100,000 characters, at most"),
    ("an IPv6 address that is none", "http://[::1/a.tif", "which is no path or URL: correct it"),
    ("standard input", "/vsistdin/", "which is neither a path nor a URL: correct it"),
    ("a device", "/dev/zero", "is no regular file"),
    ("a virtual raster in so many words", "<VRTDataset rasterXSize='1' rasterYSize='1'/>", "does not exist"),
    ("an empty store", "b.zarr", "cannot be opened as a Zarr store"),
    ("a store behind a closed port", "http://127.0.0.1:9/b.zarr", "cannot be opened as a Zarr store"),
):

    @rows(f"a href of {_name}", _says)
    def _(folder, href=_href):
        return at(folder, href)


@rows("a href that is a number", "is JSON but not STAC|does not exist|cannot be")
def _(folder):
    return at(folder, 7)


@rows("a raster cut in the middle, behind an item", "cannot be read at rows", 1)
def _(folder):
    path = at(folder, "b.tif")
    copy(write_raster(folder / "a.tif", image(1, 600, 500)), folder / "b.tif", driver="COG")
    os.truncate(folder / "b.tif", (folder / "b.tif").stat().st_size // 2)
    return path


@rows(
    "bands of which one is cut in the middle",
    r"cannot be read at rows .* \(b.tif, band 1: IReadBlock failed",
    1,
    bands=3,
)
def _(folder):
    for name in "abc":
        copy(write_raster(folder / "x.tif", image(1, 600, 500)), folder / f"{name}.tif", driver="COG")
    path = write_item(folder, {name: asset(f"{name}.tif") for name in "abc"})
    os.truncate(folder / "b.tif", (folder / "b.tif").stat().st_size // 2)
    return [path, "--assets", "a,b,c"]


@rows("bands of which one is gone", "b.tif' does not exist", bands=3)
def _(folder):
    for name in "ac":
        write_raster(folder / f"{name}.tif", image(1, 40, 30))
    return [write_item(folder, {name: asset(f"{name}.tif") for name in "abc"}), "--assets", "a,b,c"]


@rows(
    "bands of which one lies elsewhere",
    "bands b of input 'image' of scene 'scene-1' do not overlap its other bands",
    bands=3,
)
def _(folder):
    for k, name in enumerate("abc"):
        write_raster(folder / f"{name}.tif", image(1, 40, 30), grid(dx=1e5 * (k == 1)))
    return [write_item(folder, {name: asset(f"{name}.tif") for name in "abc"}), "--assets", "a,b,c"]


@rows("bands of which one is in another CRS", "bands b, c of input 'image' .* do not overlap", bands=3)
def _(folder):
    for k, name in enumerate("abc"):
        write_raster(folder / f"{name}.tif", image(1, 40, 30), crs=f"EPSG:3263{1 if k else 2}")
    return [write_item(folder, {name: asset(f"{name}.tif") for name in "abc"}), "--assets", "a,b,c"]


# Catalogues.


def catalogue(folder: Path, *links: dict[str, str]) -> Path:
    """A catalogue with any links."""
    path = write_catalog(folder)
    path.write_text(json.dumps({**json.loads(path.read_text()), "links": list(links)}))
    return path


@rows("a catalogue of nothing", "is a catalogue without items")
def _(folder):
    return catalogue(folder)


@rows("a catalogue that is its own child", "is a catalogue without items")
def _(folder):
    return catalogue(folder, {"rel": "child", "href": "catalog.json"})


@rows("a catalogue that is its own item", "is a catalogue without items")
def _(folder):
    return catalogue(folder, {"rel": "item", "href": "catalog.json"})


@rows("two catalogues of each other", "is a catalogue without items")
def _(folder):
    write_catalog(folder, children=("catalog.json",), name="b.json")
    return catalogue(folder, {"rel": "child", "href": "b.json"})


@rows("a catalogue 300 deep")
def _(folder):
    for k in range(300):
        write_catalog(folder, children=(f"c{k + 1}.json",), name=f"c{k}.json")
    write_catalog(folder, items=("item.json",), name="c300.json")
    item(folder)
    return folder / "c0.json"


@rows("links that are no objects", "is JSON but not STAC|catalogue without items")
def _(folder):
    path = write_catalog(folder)
    path.write_text(json.dumps({**json.loads(path.read_text()), "links": [None, 7, "item.json", {}]}))
    return path


@rows("a link without an end", "is JSON but not STAC|catalogue without items")
def _(folder):
    return catalogue(folder, {"rel": "item"})


@rows("a link to a URL that is none", "catalogue without items|is no path or URL|is JSON but not STAC")
def _(folder):
    return catalogue(folder, {"rel": "item", "href": "http://[::1/item.json"})


@rows("a source that is a URL that is none", "is no path or URL that can be taken")
def _(folder):
    return "http://[::1/item.json"


@rows("a folder whose name is no text", "is no path or URL that can be taken")
def _(folder):
    item(folder / "in")
    return (folder / "in").rename(folder / os.fsdecode(b"\xff")) / "item.json"


@rows("a child behind a closed port", "http://127.0.0.1:9/catalog.json' cannot be read as JSON")
def _(folder):
    return catalogue(folder, {"rel": "child", "href": "http://127.0.0.1:9/catalog.json"})


@rows("a page of items of an API", "does not say where it stands: give it a link")
def _(folder):
    write_raster(folder / "a.tif", image(1, 40, 30))
    path = folder / "page.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [RIGHT], "links": []}))
    return path
