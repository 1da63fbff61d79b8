"""Rasters that lie about themselves."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp
from rasterio.shutil import copy

from tests.awkward.table import Rows
from tests.scene.rasters import CRS, grid, image, write_raster

NAN, INF = float("nan"), float("inf")
SMALL = image(1, 40, 30)

PLACED = """<PAMDataset><SRS>EPSG:32631</SRS><GeoTransform>500000, 10, 0, 5000000, 0, -10</GeoTransform></PAMDataset>"""

rows = Rows()


def tiff(folder: Path, **given: object) -> Path:
    """A small raster of one band."""
    values = given.pop("values", SMALL)
    return write_raster(folder / "a.tif", values, **given)


def sparse(
    folder: Path,
    height: int,
    width: int,
    bands: int = 1,
    dtype: str = "uint8",
    name: str = "a.tif",
    **profile: object,
) -> Path:
    """A raster of which nothing is written but what it claims."""
    path = folder / name
    claims = {"driver": "GTiff", "height": height, "width": width, "count": bands, "dtype": dtype, "crs": CRS}
    with rasterio.open(path, "w", transform=grid(), SPARSE_OK=True, **{**claims, **profile}):
        pass
    return path


def directory(folder: Path, *entries: tuple[int, int, int, int], data: bytes = b"") -> Path:
    """A TIFF whose only directory has these entries (tag, type, count, value); the data follows at 8 + 2 + 12 n + 4."""
    body = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    path = folder / "a.tif"
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + body + bytes(4) + data)
    return path


def directories(content: bytes) -> list[int]:
    """Where the directories of a little-endian TIFF begin."""
    found, at = [], struct.unpack_from("<I", content, 4)[0]
    while at:
        found.append(at)
        at = struct.unpack_from("<I", content, at + 2 + 12 * struct.unpack_from("<H", content, at)[0])[0]
    return found


def entry(content: bytes, start: int, tag: int) -> int:
    """Where the entry of a tag stands in a directory."""
    places = range(start + 2, start + 2 + 12 * struct.unpack_from("<H", content, start)[0], 12)
    return next(at for at in places if struct.unpack_from("<H", content, at)[0] == tag)


def moved(folder: Path, *numbers: float) -> Path:
    """A raster whose transform has these numbers (a, b, c, d, e, f)."""
    return tiff(folder, transform=Affine(*numbers))


# Files that are none.


@rows("a file of 0 bytes", r"a.tif' cannot be opened as a raster")
def _(folder):
    (folder / "a.tif").touch()
    return folder / "a.tif"


@rows("a file that is not there", r"a.tif' does not exist: give the path")
def _(folder):
    return folder / "a.tif"


@rows("a folder", "is a folder: name the rasters in it one by one")
def _(folder):
    return folder


@rows("a file of zeros", "cannot be opened as a raster")
def _(folder):
    (folder / "a.tif").write_bytes(bytes(4096))
    return folder / "a.tif"


@rows("a file of HTML", "cannot be opened as a raster")
def _(folder):
    (folder / "a.tif").write_text("<html><body>503 Service Unavailable</body></html>")
    return folder / "a.tif"


@rows("a text file", "cannot be opened as a raster")
def _(folder):
    (folder / "a.tif").write_text("/etc/passwd\n" * 100)
    return folder / "a.tif"


@rows("a link to itself", "does not exist")
def _(folder):
    (folder / "a.tif").symlink_to(folder / "a.tif")
    return folder / "a.tif"


@rows("a link to nowhere", "does not exist")
def _(folder):
    (folder / "a.tif").symlink_to(folder / "b.tif")
    return folder / "a.tif"


@rows("a pipe that nobody writes to", "is no regular file")
def _(folder):
    os.mkfifo(folder / "a.tif")
    return folder / "a.tif"


@rows("a device that never ends", "is no regular file")
def _(folder):
    return "/dev/zero"


@rows("a name of 300 letters", "does not exist")
def _(folder):
    return folder / ("a" * 300 + ".tif")


@rows("a name with a newline")
def _(folder):
    return tiff(folder).rename(folder / "a\nb.tif")


@rows(
    "a name that is no text",
    r"is no path or URL that can be taken \(.*surrogates not allowed\): rename the file",
)
def _(folder):
    return tiff(folder).rename(folder / os.fsdecode(b"a\xff.tif"))


@rows("GDAL's name of standard input", "is no regular file")
def _(folder):
    return "/vsistdin/"


@rows("GDAL's name of a file that is not there", "cannot be opened as a raster")
def _(folder):
    return f"/vsizip/{folder}/a.zip/a.tif"


@rows("a file cut in the middle", r"cannot be read at rows .* the file is damaged", 1)
def _(folder):
    path = folder / "cog.tif"
    copy(tiff(folder, values=image(1, 600, 500)), path, driver="COG")
    os.truncate(path, path.stat().st_size // 2)
    return path


@rows("a file cut within its header", "cannot be opened as a raster")
def _(folder):
    path = tiff(folder, values=image(1, 400, 300))
    os.truncate(path, 60)
    return path


@rows("a compressed file with its middle gone", "cannot be read at rows .* the file is damaged", 1)
def _(folder):
    path = tiff(
        folder, values=image(1, 400, 300), compress="deflate", tiled=True, blockxsize=64, blockysize=64
    )
    content = bytearray(path.read_bytes())
    third = len(content) // 3
    content[third : 2 * third] = bytes(third)
    path.write_bytes(content)
    return path


# Grids.


@rows("a transform of NaN", "affine transform that puts its pixels on no map")
def _(folder):
    return moved(folder, NAN, 0, NAN, 0, NAN, NAN)


@rows("a corner at NaN", "affine transform that puts its pixels on no map")
def _(folder):
    return moved(folder, 10, 0, NAN, 0, -10, 5e6)


@rows("a corner at infinity", "affine transform that puts its pixels on no map")
def _(folder):
    return moved(folder, 10, 0, INF, 0, -10, 5e6)


@rows("pixels of infinite size", "affine transform that puts its pixels on no map")
def _(folder):
    return moved(folder, INF, 0, 5e5, 0, -INF, 5e6)


@rows("pixels of no width", "located by ground control points only")
def _(folder):
    return moved(folder, 0, 0, 5e5, 0, -10, 5e6)


@rows("pixels of no height", "affine transform that puts its pixels on no map")
def _(folder):
    return moved(folder, 10, 0, 5e5, 0, 0, 5e6)


@rows("pixels of 1e-300 m", "affine transform that puts its pixels on no map")
def _(folder):
    return moved(folder, 1e-300, 0, 5e5, 0, -1e-300, 5e6)


@rows("pixels of 1e30 m", "affine transform that puts its pixels on no map")
def _(folder):
    return moved(folder, 1e30, 0, 5e5, 0, -1e30, 5e6)


@rows("a corner 1e300 m away", "affine transform that puts its pixels on no map")
def _(folder):
    return moved(folder, 10, 0, 1e300, 0, -10, 1e300)


@rows("columns from east to west", "columns that run east to west")
def _(folder):
    return moved(folder, -10, 0, 5e5, 0, -10, 5e6)


@rows("rows from south to north")
def _(folder):
    return moved(folder, 10, 0, 5e5, 0, 10, 5e6)


@rows("a sheared grid", "rotated or sheared")
def _(folder):
    return moved(folder, 10, 3, 5e5, 0, -10, 5e6)


@rows("no CRS", "has no coordinate reference system")
def _(folder):
    return tiff(folder, crs=None)


@rows("a CRS of nowhere", "is no map of the Earth's surface \\(nowhere\\)")
def _(folder):
    return tiff(folder, crs='LOCAL_CS["nowhere",UNIT["metre",1]]')


@rows("a CRS around the centre of the Earth", "is no map of the Earth's surface")
def _(folder):
    return tiff(folder, crs="EPSG:4978")


@rows("a CRS of heights alone", "is no map of the Earth's surface|no coordinate reference system")
def _(folder):
    return tiff(folder, crs="EPSG:5773")


@rows("a CRS with heights")
def _(folder):
    return tiff(folder, crs="EPSG:9518", transform=Affine(1e-3, 0, 8, 0, -1e-3, 50))


@rows("degrees beyond the poles")
def _(folder):
    return tiff(folder, crs="EPSG:4326", transform=Affine(10, 0, -400, 0, -10, 300))


@rows("a UTM zone far from its meridian")
def _(folder):
    return tiff(folder, transform=Affine(1e6, 0, -1e7, 0, -1e6, 1e7))


# Sizes.


@rows("a single pixel")
def _(folder):
    return tiff(folder, values=image(1, 1, 1))


@rows("one row of 5,000 pixels")
def _(folder):
    return tiff(folder, values=image(1, 1, 5000))


@rows("one column of 5,000 pixels")
def _(folder):
    return tiff(folder, values=image(1, 5000, 1))


@rows("2^31 × 2^31 pixels that are not there", "in blocks of 1,024.0 GiB")
def _(folder):
    return sparse(folder, 2**31 - 1, 2**31 - 1, tiled=True, blockxsize=2**20, blockysize=2**20, BIGTIFF="YES")


@rows("a million by a million pixels that are not there", "claims 1,000,000 × 1,000,000 pixels")
def _(folder):
    return sparse(folder, 10**6, 10**6, tiled=True, blockxsize=8192, blockysize=8192, BIGTIFF="YES")


@rows("tiles of 32,768² pixels", r"in blocks of .* GiB .*gdal_translate -of COG")
def _(folder):
    return sparse(folder, 32768, 32768, tiled=True, blockxsize=32768, blockysize=32768, dtype="float32")


@rows("one compressed strip of 20,000² pixels", r"in blocks of 0.4 GiB.*gdal_translate -of COG")
def _(folder):
    edge = 20_000
    deflate = zlib.compressobj(1)
    data = b"".join(deflate.compress(bytes(edge)) for _ in range(edge)) + deflate.flush()
    (folder / "a.tif.aux.xml").write_text(PLACED)
    return directory(
        folder,
        *((256, 4, 1, edge), (257, 4, 1, edge), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1)),
        *((273, 4, 1, 8 + 2 + 9 * 12 + 4), (277, 3, 1, 1), (278, 4, 1, edge), (279, 4, 1, len(data))),
        data=data,
    )


@rows("a small raster in a tile of 32,768² pixels", r"in blocks of 4.0 GiB.*gdal_translate -of COG")
def _(folder):
    return sparse(folder, 40, 30, tiled=True, blockxsize=32768, blockysize=32768, dtype="float32")


@rows("tiles that hold 1,000 bands together", r"in blocks of .* GiB .*gdal_translate -of COG")
def _(folder):
    return sparse(folder, 1024, 1024, 1000, tiled=True, blockxsize=1024, blockysize=1024, interleave="pixel")


@rows("a mask beside it in a tile of 32,768² pixels", "the mask of .* is stored in blocks of 1.0 GiB")
def _(folder):
    path = tiff(folder)
    mask = sparse(folder, 40, 30, name="a.tif.msk", tiled=True, blockxsize=32768, blockysize=32768)
    with rasterio.open(mask, "r+") as file:
        file.update_tags(INTERNAL_MASK_FLAGS_1="2")
    return path


@rows("a mask within it in a tile of 32,768² pixels", "the mask of .* is stored in blocks of 1.0 GiB")
def _(folder):
    path = tiff(folder, mask=np.full((40, 30), 255, np.uint8), tiled=True, blockxsize=16, blockysize=16)
    content = bytearray(path.read_bytes())
    second = directories(content)[1]
    for tag in (322, 323):
        struct.pack_into("<HHII", content, entry(content, second, tag), tag, 4, 1, 32768)
    path.write_bytes(content)
    return path


@rows("65,535 bands", "holds 65,535 bands, at most")
def _(folder):
    return sparse(folder, 1, 1, 65535)


@rows("two bands for a model of one", "takes 1 band, scene 'a' gives 2")
def _(folder):
    return tiff(folder, values=image(2, 40, 30))


@rows("width 0", "cannot be opened as a raster")
def _(folder):
    return directory(
        folder,
        (256, 4, 1, 0),
        (257, 4, 1, 10),
        (258, 3, 1, 8),
        (273, 4, 1, 8),
        (278, 4, 1, 1),
        (279, 4, 1, 10),
    )


@rows("a directory that is its own successor", "cannot be opened as a raster|no coordinate reference")
def _(folder):
    path = directory(
        folder,
        *((256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)),
        *((273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, 8), (279, 4, 1, 64)),
    )
    content = bytearray(path.read_bytes())
    content[-4:] = struct.pack("<I", 8)
    path.write_bytes(content + bytes(64))
    return path


@rows("a tag of 4 GiB", "cannot be opened as a raster|no coordinate reference")
def _(folder):
    return directory(
        folder,
        *((256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)),
        *((273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, 8), (279, 4, 1, 64), (42113, 2, 2**32 - 1, 8)),
        data=bytes(256),
    )


# Values.


@rows("values of 1e38 and infinity")
def _(folder):
    values = image(1, 40, 30, "float32")
    values[0, 0, :4] = 1e38, -1e38, INF, -INF
    return tiff(folder, values=values)


@rows("nothing but NaN")
def _(folder):
    return tiff(folder, values=np.full((1, 40, 30), NAN, "float32"))


@rows("nothing but infinity")
def _(folder):
    return tiff(folder, values=np.full((1, 40, 30), INF, "float32"))


@rows("doubles of 1e300")
def _(folder):
    return tiff(folder, values=np.full((1, 40, 30), 1e300))


@rows("integers of 64 bits at their end")
def _(folder):
    return tiff(folder, values=np.full((1, 40, 30), 2**63 - 1, "int64"), nodata=-(2**63))


@rows("complex numbers", "holds complex numbers")
def _(folder):
    return tiff(folder, values=image(1, 40, 30).astype("complex64"))


@rows("a colour table", "holds indices into a colour table")
def _(folder):
    path = tiff(folder, values=image(1, 40, 30, "uint8"))
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {1: (255, 0, 0, 255)})
    return path


@rows("nothing but an alpha band", "holds nothing but an alpha band")
def _(folder):
    path = tiff(folder, values=image(1, 40, 30, "uint8"))
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [ColorInterp.alpha]
    return path


for _name, _dtype, _text in (
    ("NaN in floats", "float32", "nan"),
    ("NaN in integers", "uint16", "nan"),
    ("minus infinity in floats", "float32", "-inf"),
    ("minus infinity in integers", "int16", "-inf"),
    ("-9999 in unsigned integers", "uint8", "-9999"),
    ("0.5 in integers", "uint16", "0.5"),
    ("1e400", "float32", "1e400"),
    ("no number", "uint16", "none of them"),
    ("a megabyte of text", "uint16", "9" * 2**20),
):

    @rows(f"nodata is {_name}")
    def _(folder, dtype=_dtype, text=_text):
        path = tiff(folder, values=image(1, 40, 30, dtype), nodata=1)
        # GDAL writes no nonsense itself: append the text and point the tag at it
        content, said = bytearray(path.read_bytes()), text.encode() + b"\0"
        at = entry(content, directories(content)[0], 42113)
        place = int.from_bytes(said, "little") if len(said) <= 4 else len(content)
        struct.pack_into("<HHII", content, at, 42113, 2, len(said), place)
        path.write_bytes(content + said)
        return path


@rows("a negative scale")
def _(folder):
    return tiff(folder, scales=(-0.01,), offsets=(3.0,))


@rows("a scale of zero", "multiplied by 0 with 0 added, which leaves none")
def _(folder):
    return tiff(folder, scales=(0.0,), offsets=(0.0,))


@rows("a scale of NaN", "multiplied by nan")
def _(folder):
    return tiff(folder, scales=(NAN,), offsets=(0.0,))


@rows("an infinite offset", "with inf added")
def _(folder):
    return tiff(folder, scales=(1.0,), offsets=(INF,))


@rows("a scale of 1e300")
def _(folder):
    return tiff(folder, scales=(1e300,), offsets=(0.0,))


@rows("a band named by control characters")
def _(folder):
    return tiff(folder, names=("\x1b[2J\nred\0",))


@rows("a band with a name of 100,000 letters")
def _(folder):
    return tiff(folder, names=("red" * 33_333,))


@rows("a time that is none")
def _(folder):
    return tiff(folder, tags={"TIFFTAG_DATETIME": "0000:99:99 99:99:99"})


@rows("a time before all times")
def _(folder):
    path = tiff(folder)
    os.utime(path, (-(10**11), -(10**11)))
    return path


@rows("a mask of nothing valid")
def _(folder):
    return tiff(folder, mask=np.zeros((40, 30), np.uint8))


# Side files.


@rows("a side file that is no XML")
def _(folder):
    path = tiff(folder)
    Path(f"{path}.aux.xml").write_text("<PAMDataset><broken")
    return path


@rows("a side file with another grid", "affine transform that puts its pixels on no map")
def _(folder):
    path = tiff(folder)
    Path(f"{path}.aux.xml").write_text(
        "<PAMDataset><GeoTransform>nan, nan, nan, nan, nan, nan</GeoTransform></PAMDataset>"
    )
    return path


@rows("a side file that names an entity a billion times")
def _(folder):
    path = tiff(folder)
    entities = "".join(f'<!ENTITY a{k} "{f"&a{k - 1};" * 10}">' for k in range(1, 10))
    Path(f"{path}.aux.xml").write_text(
        f'<!DOCTYPE a [<!ENTITY a0 "ha">{entities}]><PAMDataset><Metadata>'
        '<MDI key="a">&a9;</MDI></Metadata></PAMDataset>'
    )
    return path


@rows("a mask that is no raster")
def _(folder):
    path = tiff(folder)
    Path(f"{path}.msk").write_bytes(b"no raster")
    return path


@rows("a mask of another size", "cannot be read at rows", 1)
def _(folder):
    path = tiff(folder)
    tiff_mask = write_raster(folder / "m.tif", image(1, 3, 3, "uint8"), tags={"INTERNAL_MASK_FLAGS_1": "2"})
    tiff_mask.rename(f"{path}.msk")
    return path


@rows("overviews that are no raster")
def _(folder):
    path = tiff(folder)
    Path(f"{path}.ovr").write_bytes(b"no raster")
    return path


@rows("a world file of letters", "no coordinate reference system|no affine")
def _(folder):
    path = tiff(folder, crs=None)
    (folder / "a.tfw").write_text("a\nb\nc\nd\ne\nf\n")
    return path


# Virtual rasters.

VRT = """<VRTDataset rasterXSize="30" rasterYSize="40"><SRS>EPSG:32631</SRS>
<GeoTransform>500000, 10, 0, 5000000, 0, -10</GeoTransform><VRTRasterBand dataType="{dtype}" band="1" {more}>
{source}</VRTRasterBand></VRTDataset>"""
SIMPLE = '<SimpleSource><SourceFilename relativeToVRT="{relative}">{name}</SourceFilename></SimpleSource>'


def vrt(folder: Path, source: str, dtype: str = "UInt16", more: str = "") -> Path:
    """A virtual raster of one band."""
    path = folder / "a.vrt"
    path.write_text(VRT.format(source=source, dtype=dtype, more=more))
    return path


def simple(name: object, relative: int = 0) -> str:
    return SIMPLE.format(name=name, relative=relative)


@rows("a virtual raster that is right")
def _(folder):
    tiff(folder)
    return vrt(folder, simple("a.tif", 1))


@rows("a virtual raster of itself", "cannot be (opened|read)", 1)
def _(folder):
    return vrt(folder, simple("a.vrt", 1))


@rows("two virtual rasters of each other", "cannot be (opened|read)", 1)
def _(folder):
    vrt(folder, simple("a.vrt", 1)).rename(folder / "b.vrt")
    return vrt(folder, simple("b.vrt", 1))


@rows("a virtual raster of a file that is gone", "cannot be (opened|read)", 1)
def _(folder):
    return vrt(folder, simple("b.tif", 1))


@rows("a virtual raster of /etc/passwd", "cannot be (opened|read)", 1)
def _(folder):
    return vrt(folder, simple("/etc/passwd"))


@rows(
    "a virtual raster of the bytes of /etc/passwd", "has bands of raw bytes, which can be those of any file"
)
def _(folder):
    raw = (
        '<SourceFilename relativetoVRT="0">/etc/passwd</SourceFilename><ImageOffset>0</ImageOffset>'
        "<PixelOffset>1</PixelOffset><LineOffset>30</LineOffset>"
    )
    return vrt(folder, raw, "Byte", 'subClass="VRTRawRasterBand"')


@rows("a virtual raster of a pipe", "is made of '.*pipe', which is no regular file")
def _(folder):
    os.mkfifo(folder / "pipe")
    return vrt(folder, simple("pipe", 1))


@rows("a virtual raster of standard input", "cannot be (opened|read)|no regular file", None)
def _(folder):
    return vrt(folder, simple("/vsistdin/"))


@rows("a virtual raster of a closed port", "cannot be (opened|read|asked for now)", 1)
def _(folder):
    return vrt(folder, simple("/vsicurl/http://127.0.0.1:9/a.tif"))


@rows("a virtual raster that runs Python", "cannot be (opened|read)", 1)
def _(folder):
    (folder / "ran").unlink(missing_ok=True)
    tiff(folder)
    code = f"import pathlib\npathlib.Path({str(folder / 'ran')!r}).touch()\ndef f(*a, **b): pass"
    more = (
        f"<PixelFunctionType>f</PixelFunctionType><PixelFunctionLanguage>Python</PixelFunctionLanguage>"
        f"<PixelFunctionCode><![CDATA[{code}]]></PixelFunctionCode>"
    )
    return vrt(folder, more + simple("a.tif", 1), more='subClass="VRTDerivedRasterBand"')


@rows("a virtual raster of 100,000 sources", "cannot be read", 1)
def _(folder):
    return vrt(folder, simple("b.tif", 1) * 100_000)


@rows("a virtual raster of 2^31 pixels an edge", "claims 2,147,483,647")
def _(folder):
    path = vrt(folder, "")
    path.write_text(path.read_text().replace('"30"', '"2147483647"').replace('"40"', '"2147483647"'))
    return path


@rows("a map service at a closed port", "cannot be read at rows .* its server does not answer", 1)
def _(folder):
    path = folder / "a.tif"
    path.write_text(
        "<GDAL_WMS><Service name='TMS'><ServerUrl>http://127.0.0.1:9/${z}/${x}/${y}.png</ServerUrl></Service>"
        "<DataWindow><UpperLeftX>-2e7</UpperLeftX><UpperLeftY>2e7</UpperLeftY><LowerRightX>2e7</LowerRightX>"
        "<LowerRightY>-2e7</LowerRightY><TileLevel>2</TileLevel></DataWindow><Projection>EPSG:3857</Projection>"
        "<BlockSizeX>256</BlockSizeX><BlockSizeY>256</BlockSizeY><BandsCount>1</BandsCount></GDAL_WMS>"
    )
    return path


@rows("a virtual raster that is not closed", "cannot be opened as a raster")
def _(folder):
    path = vrt(folder, "")
    path.write_text(path.read_text()[:100])
    return path
