"""What a STAC document may name. Catalogues come from others: they say where pixels are, not what else is read."""

import ipaddress
from urllib.parse import urlparse

from rsmtl.errors import SceneError
from rsmtl.gdal import STORES, is_remote

_LOCAL = frozenset({"", "file"})
_REMOTE = frozenset({"http", "https", *STORES})

_SELF_CONTAINED = ("GTiff", "JP2OpenJPEG", "JPEG", "PNG", "WEBP", "HFA", "NITF", "GRIB")
"""GDAL's drivers for formats that are pixels, and do not name other files to be opened."""


def trusted(document: str, href: str) -> str:
    """Return what a document names, if it may.

    A document on the disk may name files and URLs, one that came over the network URLs only, and none of this machine
    or its own network's services unless it came from there. Chains of file systems (`simplecache::…`) and the names
    that GDAL has of its own (`/vsizip/…`, `vrt://…`) are for people to give, not for documents.

    Parameters
    ----------
    document
        Where it stands.
    href
        Absolute, as `pystac` resolves it.

    Raises
    ------
    SceneError
        If it may not.
    """
    scheme = urlparse(href).scheme.lower()
    if is_remote(document):
        if scheme not in _REMOTE or "::" in href:
            raise SceneError(
                f"'{document}' names '{href}', and what comes over the network may name nothing but URLs of servers "
                "and object stores: correct it"
            )
        if _is_here(href) and urlparse(href).hostname != urlparse(document).hostname:
            raise SceneError(
                f"'{document}' names '{href}', which is this machine or its own network's service: correct it"
            )
    elif scheme not in _LOCAL | _REMOTE or "::" in href or href.startswith("/vsi"):
        raise SceneError(f"'{document}' names '{href}', which is neither a path nor a URL: correct it")
    return href


def check_driver(href: str, driver: str) -> None:
    """Refuse a file from a server that has other files opened.

    A VRT, and many another format of GDAL's, is a list of files by name: one from a server could have those of this
    machine read.

    Raises
    ------
    SceneError
        If the driver's format may name other files.
    """
    if is_remote(href) and driver not in _SELF_CONTAINED:
        raise SceneError(
            f"'{href}' is of GDAL's format {driver}, which may name other files, and from servers only what holds its "
            "own pixels is taken: give a GeoTIFF or JPEG 2000, or fetch the file and look at it first"
        )


def _is_here(href: str) -> bool:
    """Whether a URL names a loopback or link-local address; what a name resolves to is not looked up."""
    host = urlparse(href).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_link_local or address.is_unspecified
