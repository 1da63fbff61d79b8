"""What a virtual raster may be made of: files that are rasters themselves."""

import re
import stat
from html import unescape

from rasterio.io import DatasetReader

from rsmtl.errors import SceneError
from rsmtl.gdal import is_remote
from rsmtl.scene.sources import local_path

_SOURCE = re.compile(r'<SourceFilename([^>]*relativeToVRT="1")?[^>]*>([^<]+)<', re.IGNORECASE)


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
    for relative, name in _SOURCE.findall(text):
        source = local_path(href).parent / unescape(name) if relative else local_path(unescape(name))
        try:
            mode = source.stat().st_mode
        except (OSError, ValueError):  # gone, or a name of GDAL's own: reading it says so
            continue
        if not stat.S_ISREG(mode):
            raise SceneError(f"{what} is made of '{source}', which is no regular file: name rasters in it")
