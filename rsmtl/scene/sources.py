"""What tells whether a file has changed since a scene was opened."""

import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlparse

import fsspec
from pystac import STACError, read_dict

from rsmtl.errors import RsmtlError, RunError
from rsmtl.gdal import STORES, is_remote
from rsmtl.redaction import redacted, redacted_value
from rsmtl.scene.document import WAITS_S, may_pass, read_document
from rsmtl.scene.reason import is_refusal, reason
from rsmtl.scene.scene import SourceFile

ZARR_METADATA = ("zarr.json", ".zmetadata", ".zgroup", ".zarray", ".zattrs")

SIDES = (".msk", ".aux.xml")
"""Files beside a raster that GDAL takes for a part of it. Overviews (`.ovr`) are not read."""

_DOCUMENT = "sha256:"
"""Begins the version of a STAC document, which is that of what it says."""
_INODE = "@"
"""Ends what all machines that share a disk agree on in the version of a local file."""
_ARCHIVES = re.compile(r"(?:/vsi(?:zip|tar|gzip|7z|rar|cached|sparse)/)+")
_IN_ARCHIVE = re.compile(r"(?<=\.zip|\.tar|\.tgz|\.rar)/.*|(?<=\.7z|\.gz)/.*", re.IGNORECASE)


def local_path(href: str) -> Path:
    """Return the path of a local file, given as a path or as a `file://` URL."""
    parsed = urlparse(href)
    return Path(parsed.path if parsed.scheme == "file" else href)


def source_file(href: str) -> SourceFile:
    """Return size and version of a file, a Zarr store or a URL.

    A local file's version is when it was last written and last replaced, in ns, and its inode; files beside it that
    GDAL reads with it (`SIDES`) count too. A local Zarr store's is a hash of those of all its files. A URL's is its
    etag, last-modified or checksum; that of a Zarr store in an object store a hash of those of its objects. A file
    within an archive has the version of the archive. What cannot be found out is left empty, and never certain.
    """
    found = _container(href)
    if found is None:
        return SourceFile(href)
    if is_remote(found):
        return _remote(href, found)
    path = local_path(found)
    try:
        if path.is_dir():
            return _local_zarr(href, path)
        stat = path.stat()
    except (OSError, ValueError):
        return SourceFile(href)
    return SourceFile(href, stat.st_size, f"{_times(stat)}{_sides(path)}{_INODE}{stat.st_ino}")


def raster_sources(href: str, files: Sequence[str]) -> tuple[SourceFile, ...]:
    """Return what a raster is read from: itself, and the other files that GDAL lists, such as tiles of a VRT.

    Parameters
    ----------
    files
        What GDAL lists for the raster. That a VRT is made of others again is found here.
    """
    found = {str(local_path(href)) if not is_remote(href) else href: href}
    waiting = [name for name in files if not _same_file(name, href)]
    if waiting and len(waiting) == len(files) and not is_remote(href) and not local_path(href).exists():
        found.clear()  # a name of GDAL's own, such as that of a part of a file
    while waiting:
        name = waiting.pop(0)
        if name in found or name.lower().endswith((*SIDES, ".ovr")):
            continue
        found[name] = name
        if name.lower().endswith(".vrt"):
            waiting += _listed_in(name)
    return tuple(source_file(name) for name in found.values())


def document_source(href: str, document: Mapping[str, Any]) -> SourceFile:
    """Return the version of a STAC item: of what it says, but for where it and its files are and how they are signed.

    Servers tell no version of one, and a catalogue that is moved is still the same.
    """
    assets = document.get("assets")
    held = {key: value for key, value in document.items() if key not in ("links", "assets")}
    held["assets"] = {
        name: {**asset, "href": PurePosixPath(redacted(str(asset.get("href")))).name}
        for name, asset in (assets.items() if isinstance(assets, Mapping) else ())
        if isinstance(asset, Mapping)
    }
    said = json.dumps(redacted_value(held), sort_keys=True, default=str)
    return SourceFile(href, None, f"{_DOCUMENT}{hashlib.sha256(said.encode()).hexdigest()}")


def source_now(source: SourceFile) -> SourceFile:
    """Return a source as it is now; of unknown version if it cannot be read."""
    try:
        if source.version.startswith(_DOCUMENT):
            # As it was when the scene was opened: pystac brings older versions of STAC up to date.
            document = read_dict(read_document(source.href), href=source.href).to_dict(
                include_self_link=False
            )
            return document_source(source.href, document)
        return source_file(source.href)
    except (
        RsmtlError,
        STACError,
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
    ):  # gone, or no item any more
        return SourceFile(source.href)


def everywhere(source: SourceFile) -> tuple[int | None, str]:
    """Return size and version as far as machines that share a disk agree on it; some number inodes each for itself."""
    return source.size_bytes, source.version.partition(_INODE)[0]


def check_unchanged(sources: Iterable[SourceFile]) -> None:
    """Refuse to go on if a local file is not the one that a scene was opened with.

    Looked at after every chunk, so neither Zarr stores, which have many files, nor servers are asked.

    Raises
    ------
    RunError
        If one was replaced or is gone.
    """
    _check(
        source
        for source in sources
        if _INODE in source.version and not (is_remote(source.href) or local_path(source.href).is_dir())
    )


def check_all_unchanged(sources: Iterable[SourceFile]) -> None:
    """Refuse to call finished what came of any source that is another by now; a server that is silent tells nothing.

    Raises
    ------
    RunError
        If one was replaced, or a local one is gone.
    """
    _check(source for source in sources if source.version)


def _check(sources: Iterable[SourceFile]) -> None:
    for source in sources:
        now = source_now(source)
        silent = is_remote(source.href) and not now.version
        if not silent and everywhere(now) != everywhere(source):
            if not now.version:
                raise RunError(
                    f"{source.href} went away while it was read: see to its disk and finish with --resume, or "
                    "start again with --overwrite"
                )
            raise RunError(f"{source.href} changed while it was read: start again with --overwrite")


def refusal(url: str) -> str:
    """Return how a server says that a file may not be read without leave; nothing if it says anything else.

    GDAL calls such a file one of an unknown format, so its server is asked again, for a byte.
    """
    try:
        system, path = fsspec.core.url_to_fs(url)
        system.cat_file(path, start=0, end=1)
    except Exception as error:  # a file system raises what it likes
        return reason(error) if is_refusal(error) else ""
    return ""


def _times(stat: os.stat_result) -> str:
    return f"{stat.st_mtime_ns}-{stat.st_ctime_ns}"


def _sides(path: Path) -> str:
    """Return a hash of the files beside a raster; nothing if there are none."""
    digest, any_there = hashlib.sha256(), False
    for side in SIDES:
        try:
            stat = Path(f"{path}{side}").stat()
        except OSError:
            continue
        any_there = True
        digest.update(f"{side} {stat.st_size} {_times(stat)} ".encode())
    return f"-{digest.hexdigest()[:16]}" if any_there else ""


def _same_file(name: str, href: str) -> bool:
    """Whether a name of GDAL's is that of a file as it was given."""
    if is_remote(href):
        return name.endswith(href.partition("://")[2]) or href in name
    return Path(name) == local_path(href)


def _listed_in(name: str) -> Iterator[str]:
    """Yield what a VRT is made of, which is named in it."""
    from rsmtl.scene.virtual import sources_of  # which needs `local_path`

    yield from sources_of(name)


def _container(href: str) -> str | None:
    """Return the file on a disk or the URL behind one of GDAL's names; None if nobody can tell."""
    if href.startswith("file://") or not (href.startswith("/vsi") or "://" in href):
        return href
    if not href.startswith("/vsi"):
        scheme, _, rest = href.partition("://")
        if scheme in ("zip", "tar", "gzip"):
            return rest.partition("!")[0].removeprefix("file://")
        return href
    archive = _ARCHIVES.match(href)
    rest = href[archive.end() :] if archive else href
    rest = rest[1:].partition("}")[0] if rest.startswith("{") else rest
    if rest.startswith(("/vsi", "vsi")):
        inner = _unprefixed(rest if rest.startswith("/") else f"/{rest}")
        return None if inner is None else _IN_ARCHIVE.sub("", inner) if archive else inner
    if not archive:
        return _unprefixed(href)
    whole = Path(rest)
    return next((str(path) for path in (whole, *whole.parents) if path.is_file()), None)


def _unprefixed(name: str) -> str | None:
    if name.startswith("/vsicurl/"):
        return name.removeprefix("/vsicurl/")
    for scheme, prefix in STORES.items():
        if name.startswith(prefix):
            return f"{scheme}://{name.removeprefix(prefix)}"
    return None


def _local_zarr(href: str, store: Path) -> SourceFile:
    digest, total = hashlib.sha256(), 0
    for folder, folders, names in os.walk(store):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            stat = path.stat()
            total += stat.st_size
            digest.update(f"{path.relative_to(store).as_posix()} {stat.st_size} {_times(stat)} ".encode())
            if name in ZARR_METADATA:
                digest.update(path.read_bytes())
    return SourceFile(href, total, digest.hexdigest()[:32])


def _remote(href: str, url: str) -> SourceFile:
    info: dict[str, Any] = {}
    for wait_s in (*WAITS_S, None):
        try:
            system, path = fsspec.core.url_to_fs(url)
            info = system.info(path)
            if info.get("type") == "directory":
                return _objects(href, system, path)
            break
        except Exception as error:  # a scene is not refused for want of an etag, if there never will be one
            if not url.startswith("http") or not may_pass(error.__cause__ or error):
                return SourceFile(href)
            if wait_s is None:
                raise RunError(
                    f"'{href}' cannot be asked for now ({reason(error)}): run again later"
                ) from error
            time.sleep(wait_s)
    return SourceFile(href, info.get("size"), _version(info))


def _version(info: Mapping[str, Any]) -> str:
    known = ("ETag", "etag", "Last-Modified", "LastModified", "Content-MD5", "Digest", "mtime")
    return next((str(info[key]) for key in known if info.get(key)), "")


def _objects(href: str, system: Any, path: str) -> SourceFile:
    """Return the version of a Zarr store in an object store; unknown if one of its objects has none."""
    system.invalidate_cache(path)
    found = sorted(system.find(path, detail=True).items())
    versions = [f"{name.removeprefix(path)} {info.get('size')} {_version(info)}" for name, info in found]
    if not found or not all(_version(info) for _, info in found):
        return SourceFile(href)
    digest = hashlib.sha256("\n".join(versions).encode())
    return SourceFile(href, sum(info.get("size") or 0 for _, info in found), digest.hexdigest()[:32])
