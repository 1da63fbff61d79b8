"""What tells whether a file has changed since a scene was opened."""

import hashlib
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import fsspec

from rsmtl.errors import RunError
from rsmtl.gdal import is_remote
from rsmtl.scene.document import WAITS_S, may_pass
from rsmtl.scene.reason import reason
from rsmtl.scene.scene import SourceFile

ZARR_METADATA = ("zarr.json", ".zmetadata", ".zgroup", ".zarray", ".zattrs")


def local_path(href: str) -> Path:
    """Return the path of a local file, given as a path or as a `file://` URL."""
    parsed = urlparse(href)
    return Path(parsed.path if parsed.scheme == "file" else href)


def source_file(href: str) -> SourceFile:
    """Return size and version of a file, a Zarr store or a URL.

    A local file's version is its modification time in ns. A local Zarr store's is the newest modification time
    in it and a hash of its metadata, and its size that of all its files. A URL's is its etag, last-modified or
    checksum. What cannot be found out is left empty: an object in a private bucket, a store behind http.
    """
    if is_remote(href):
        return _remote(href)
    path = local_path(href)
    try:
        if path.is_dir():
            return _local_zarr(href, path)
        stat = path.stat()
    except OSError:
        return SourceFile(href)  # a path of GDAL's own, such as `/vsizip/…`
    return SourceFile(href, stat.st_size, str(stat.st_mtime_ns))


def check_unchanged(sources: Iterable[SourceFile]) -> None:
    """Refuse to go on if a local file is not the one that a scene was opened with; others would have to be asked for.

    Raises
    ------
    RunError
        If one was replaced or is gone.
    """
    for source in sources:
        is_local_file = source.version and not is_remote(source.href) and not local_path(source.href).is_dir()
        if is_local_file and source_file(source.href) != source:
            raise RunError(
                f"{source.href} changed while it was read: put back what was there and finish with --resume, or "
                "start anew with --overwrite"
            )


def _local_zarr(href: str, store: Path) -> SourceFile:
    digest, total, newest = hashlib.sha256(), 0, 0
    for folder, folders, names in os.walk(store):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            stat = path.stat()
            total, newest = total + stat.st_size, max(newest, stat.st_mtime_ns)
            if name in ZARR_METADATA:
                digest.update(path.relative_to(store).as_posix().encode())
                digest.update(path.read_bytes())
    return SourceFile(href, total, f"{newest}-{digest.hexdigest()[:16]}")


def check_unchanged_remote(sources: Iterable[SourceFile]) -> None:
    """Refuse to call finished what came of a URL that leads to something else by now; silence tells nothing.

    Raises
    ------
    RunError
        If one was replaced.
    """
    for source in sources:
        if (
            is_remote(source.href)
            and source.version
            and _version_now(source.href) not in ("", source.version)
        ):
            raise RunError(f"{source.href} changed while it was read: start anew with --overwrite")


def _version_now(href: str) -> str:
    try:
        return _remote(href).version
    except RunError:
        return ""


def _remote(href: str) -> SourceFile:
    info: dict[str, Any] = {}
    for wait_s in (*WAITS_S, None):
        try:
            system, path = fsspec.core.url_to_fs(href)
            info = system.info(path)
            break
        except Exception as error:  # a scene is not refused for want of an etag, if there never will be one
            if not href.startswith("http") or not may_pass(error.__cause__ or error):
                return SourceFile(href)
            if wait_s is None:
                raise RunError(
                    f"'{href}' cannot be asked for now ({reason(error)}): run again later"
                ) from error
            time.sleep(wait_s)
    known = ("ETag", "etag", "Last-Modified", "LastModified", "Content-MD5", "Digest", "mtime")
    version = next((str(info[key]) for key in known if info.get(key)), "")
    return SourceFile(href, info.get("size"), version)
