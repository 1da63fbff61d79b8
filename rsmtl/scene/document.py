"""JSON documents, from disks, servers and object stores: one, or many at a time."""

import json
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import fsspec

from rsmtl.errors import RsmtlError, RunError, SceneError
from rsmtl.gdal import is_remote
from rsmtl.scene.reason import CREDENTIALS, is_refusal, reason

MAX_BYTES = 256 * 2**20
"""A catalogue of a million links has half of it."""

WAITS_S = (0.5, 1.0, 2.0)
"""Before a server that is busy, or does not answer, is asked again."""
LONGEST_WAIT_S = 60.0
"""Of what a server asks for by `Retry-After`."""
BUSY = (429, 500, 502, 503, 504)
"""Answers of servers that may be others in a moment."""

READERS, BATCH = 16, 256
"""Documents asked of servers at the same time, and handed out before the first of them is given on."""


def read_document(href: str) -> Any:
    """Read a JSON document.

    Raises
    ------
    SceneError
        If it is not there, cannot be read, or is not JSON.
    RunError
        If its server lets nobody read it without leave.
    """
    try:
        return json.loads(_read(href))
    except FileNotFoundError as error:
        raise SceneError(f"'{href}' does not exist: give a STAC item, collection or catalogue") from error
    except Exception as error:  # a file system or server raises what it likes, a parser too
        if is_remote(href) and is_refusal(error):
            raise RunError(f"'{href}' may not be read ({reason(error)}): {CREDENTIALS}") from error
        raise SceneError(
            f"'{href}' cannot be read as JSON ({reason(error)}): give a STAC item, collection or catalogue"
        ) from error


def read_documents(hrefs: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """Yield each of many documents with where it stands, in order; None in the place of one that cannot be read."""
    waiting = iter(hrefs)
    pool = ThreadPoolExecutor(READERS, thread_name_prefix="rsmtl-read")
    try:
        while batch := list(islice(waiting, BATCH)):
            remote = any(map(is_remote, batch))  # for files on a disk, threads cost more than they save
            yield from zip(batch, (pool.map if remote else map)(_read_or_none, batch), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)


def _read_or_none(href: str) -> Any:
    try:
        return read_document(href)
    except RsmtlError:
        return None


def _read(href: str) -> bytes:
    system, path = fsspec.core.url_to_fs(href)
    if not href.startswith(("http://", "https://")):  # object stores try again by themselves
        with system.open(path, "rb") as file:
            return _of_bounded_size(file.read(MAX_BYTES + 1))
    for wait in WAITS_S:
        try:
            return _of_bounded_size(system.cat_file(path))  # one request, where opening takes two
        except Exception as error:
            if not may_pass(error):
                raise
            time.sleep(min(_asked_to_wait(error) or wait, LONGEST_WAIT_S))
    return _of_bounded_size(system.cat_file(path))


def _of_bounded_size(content: bytes) -> bytes:
    if len(content) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES // 2**20} MiB")
    return content


def may_pass(error: BaseException) -> bool:
    """Whether asking again can help: not if there is no such file, if it is forbidden, or if the URL is none."""
    status = getattr(error, "status", None)
    return not isinstance(error, FileNotFoundError | ValueError) and (status is None or status in BUSY)


def _asked_to_wait(error: Exception) -> float | None:
    try:
        return float((getattr(error, "headers", None) or {})["Retry-After"])
    except (KeyError, ValueError):  # it may also be a date, which is rare
        return None
