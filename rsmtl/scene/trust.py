"""What a STAC document may name. Catalogues come from others: they say where pixels are, not what else is read."""

import ipaddress
import re
import socket
import unicodedata
from contextlib import suppress
from urllib.parse import unquote, urlparse

from rsmtl.errors import SceneError
from rsmtl.gdal import STORES, is_remote

_LOCAL = frozenset({"", "file"})
_REMOTE = frozenset({"http", "https", *STORES})

_THIS_NETWORK = ipaddress.IPv4Network("0.0.0.0/8")
"""Linux takes all of it for this machine."""
_CARRY_IPV4 = (ipaddress.IPv6Network("::/96"), ipaddress.IPv6Network("64:ff9b::/96"))
_IN_BRACKETS = re.compile(r"\[[0-9A-Fa-f:.]+\](:[0-9]+)?")
"""A host that is an IPv6 address, with its port."""
_SERVICES = frozenset({"169.254.169.254", "100.100.100.200", "fd00:ec2::254", "metadata.google.internal"})
"""Where clouds give a machine its credentials."""

_SELF_CONTAINED = ("GTiff", "JP2OpenJPEG", "JPEG", "PNG", "WEBP", "NITF", "GRIB")
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
    try:
        _check(document, href)
    except ValueError as error:  # of urllib: brackets that do not close, a port that is none
        raise SceneError(f"'{document}' names '{href}', which is no URL ({error}): correct it") from error
    return href


def _check(document: str, href: str) -> None:
    scheme = urlparse(href).scheme.lower()
    if is_remote(document):
        if scheme not in _REMOTE or _is_chain(href) or _is_ambiguous(href):
            raise SceneError(
                f"'{document}' names '{href}', and what comes over the network may name nothing but URLs of servers "
                "and object stores: correct it"
            )
        if _is_here(href) and _host(href) != _host(document):
            raise SceneError(
                f"'{document}' names '{href}', which is this machine or its own network's service: correct it"
            )
    elif scheme not in _LOCAL | _REMOTE or _is_chain(href) or href.startswith("/vsi"):
        raise SceneError(f"'{document}' names '{href}', which is neither a path nor a URL: correct it")


def _is_chain(href: str) -> bool:
    """Whether fsspec would take it for a chain of file systems; the address of a host may have `::`, too."""
    scheme, separator, rest = href.partition("://")
    host, slash, path = rest.partition("/")
    return "::" in (f"{scheme}{separator}{path}" if slash and _IN_BRACKETS.fullmatch(host) else href)


def drivers(href: str) -> list[str] | None:
    """Return the drivers that GDAL may open a file with; None allows all.

    A VRT, and many another format of GDAL's, is a list of files by name, and GDAL opens them with it: one from a
    server could have files of this machine, and services that only it can reach, read. So GDAL is not asked to try.
    """
    return list(_SELF_CONTAINED) if is_remote(href) else None


def refused_format(href: str) -> str:
    """Return what to add to the reason why a file of a server's cannot be opened."""
    if not is_remote(href):
        return ""
    return (
        f"; from servers only formats that hold their own pixels are taken ({', '.join(_SELF_CONTAINED)}), as a VRT "
        "and the like have other files opened"
    )


def _is_here(href: str) -> bool:
    """Whether a URL names a loopback or link-local address; what a name resolves to is not looked up."""
    host = _host(href)
    address = _address(host)
    if address is None:
        return host in ("localhost", *_SERVICES) or host.endswith(".localhost")
    local = address.is_loopback or address.is_link_local or address.is_unspecified
    return local or str(address) in _SERVICES or address in _THIS_NETWORK


def _host(href: str) -> str:
    """The host of a URL as whoever connects to it reads it: `%6cocalhost.` is `localhost`, and other signs are dots."""
    plain = unicodedata.normalize("NFKC", unquote(urlparse(href).hostname or ""))
    return plain.lower().replace("\N{IDEOGRAPHIC FULL STOP}", ".").rstrip(".")


def _is_ambiguous(href: str) -> bool:
    """Whether two readers may see two hosts in a URL, or one sees none, as in `http:///host`."""
    place = urlparse(href).netloc
    return not place or place.count("@") > 1 or "\\" in place or not place.isprintable() or " " in place


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a host is, in any spelling that the system takes: `127.1`, `0x7f000001`, `::ffff:127.0.0.1`."""
    with suppress(ValueError):
        found = ipaddress.IPv6Address(host.partition("%")[0])
        inner = found.ipv4_mapped or found.sixtofour or _embedded(found)
        return inner or found
    with suppress(OSError, UnicodeError):
        return ipaddress.IPv4Address(socket.inet_aton(host))
    return None


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address in the last 32 bits of a compatible one (`::127.0.0.1`), or of one that is translated."""
    inside = int(address) & 0xFFFFFFFF
    return (
        ipaddress.IPv4Address(inside) if any(address in net for net in _CARRY_IPV4) and inside > 1 else None
    )
