"""What a virtual raster may be made of: files that are rasters themselves."""

import re
import stat
from html import unescape
from pathlib import Path

from rasterio.io import DatasetReader

from rsmtl.errors import SceneError
from rsmtl.gdal import is_remote
from rsmtl.scene.sources import local_path

_SOURCE = re.compile(r'<SourceFilename([^>]*relativeToVRT="1")?[^>]*>([^<]+)<', re.IGNORECASE)


def sources_of(vrt: str) -> list[str]:
    """Return the files on the disk that a virtual raster on the disk is made of; none if it cannot be read."""
    try:
        return [str(source) for source in _named(vrt, local_path(vrt).read_text(errors="replace"))]
    except OSError:
        return []


def _named(href: str, text: str) -> list[Path]:
    return [
        local_path(href).parent / unescape(name) if relative else local_path(unescape(name))
        for relative, name in _SOURCE.findall(text)
    ]


def check_sources(what: str, href: str, dataset: DatasetReader) -> None:
    """Refuse a virtual raster of raw bytes, which can be those of any file, or of what GDAL would wait for for ever.

    Raises
    ------
    SceneError
        Saying which it is.
    """
    if dataset.driver != "VRT":
        return
    text = "".join(dataset.tags(ns="xml:VRT").values())
    if "VRTRawRasterBand" in text:
        raise SceneError(
            f"{what} has bands of raw bytes, which can be those of any file: make a GeoTIFF of it with `gdal_translate`"
        )
    if is_remote(href) or href.startswith("/vsi"):
        return
    for source in _named(href, text):
        try:
            mode = source.stat().st_mode
        except (OSError, ValueError):  # gone, or a name of GDAL's own: reading it says so
            continue
        if not stat.S_ISREG(mode):
            raise SceneError(f"{what} is made of '{source}', which is no regular file: name rasters in it")
