"""Where a product stands, and how a file comes to be there: whole or not at all."""

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rsmtl.errors import RunError, SceneError

MAX_NAME_BYTES = 200
"""File systems take 255 bytes a name; the rest is room for the suffixes of temporary files."""

ITEM_NAME = "item.json"
"""Written last of all: no item, no product."""
PROVENANCE_NAME = "run.json"
METRICS_NAME = "metrics.json"
QUICKLOOK_NAME = "quicklook.png"
STORE_NAME = "product.zarr"
LEDGER_NAME = "ledger"
FINGERPRINT_NAME = "fingerprint.json"

_PART = ".part"
_DEVICE_NAMES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.IGNORECASE)
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


def product_folder(out: Path, scene_id: str) -> Path:
    """Return the folder of a scene's product; it is a direct child of `out` whatever the id.

    Ids come from catalogues, which are not trusted. Every byte of the id but ASCII letters, digits and `._-`
    is written as `=XX` (its UTF-8 value in hexadecimal), and so is a leading dot, a trailing dot and the
    first letter of a name that some systems reserve for a device. The usual ids stay as they are, two ids
    never share a folder, and `=` needs no escaping in the path of a URL, as `%` would.

    Raises
    ------
    SceneError
        If the id is empty, or too long for a file name.
    """
    if not scene_id:
        raise SceneError("a scene needs an id to name its product's folder, got an empty one: give it an id")
    name = "".join(
        chr(byte) if byte in _PLAIN else f"={byte:02X}" for byte in scene_id.encode("utf-8", "surrogatepass")
    )
    if name[0] == "." or _DEVICE_NAMES.match(name):
        name = f"={ord(name[0]):02X}{name[1:]}"
    if name[-1] == ".":
        name = f"{name[:-1]}=2E"
    if len(name) > MAX_NAME_BYTES:
        raise SceneError(
            f"the scene id {scene_id[:40]!r}… makes a folder name of {len(name)} bytes, "
            f"at most {MAX_NAME_BYTES} fit: give the scene a shorter id"
        )
    return out / name


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an `OSError` (disk full, no permission, …) into a `RunError` that names `path`."""
    try:
        yield
    except OSError as error:
        reason = (os.strerror(error.errno) if error.errno else str(error)).rstrip(".")
        raise RunError(
            f"cannot write {path}: {reason}; make room or give another output folder, then run again"
        ) from error


@contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """Give a path beside `path` for a temporary file, and remove the file at the end.

    If the process is killed the file stays; `sweep` removes it.
    """
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}{_PART}")
    try:
        yield part
    finally:
        _remove(part)


@contextmanager
def replacing(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; what stands there at the end replaces `path` at once.

    A reader sees the old file or the whole new one, never a part of it.

    Parameters
    ----------
    sync
        Wait until the bytes are on the disk, so that the file is whole after a power cut too.

    Raises
    ------
    RunError
        If the file cannot be written.
    """
    with disk_errors(path), temporary(path) as part:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        if sync:
            fsync(part)
        part.replace(path)


def is_part(path: Path) -> bool:
    """Whether a path is that of a temporary file of `temporary` or `replacing`."""
    return path.name.startswith(".") and _PART in path.name


def sweep(folder: Path) -> None:
    """Remove the temporary files that killed processes left in `folder` (not in its subfolders)."""
    for path in folder.iterdir():
        if is_part(path):
            _remove(path)


def cog_path(folder: Path, output_name: str) -> Path:
    """Return where the COG of an output stands."""
    return folder / f"{output_name}.tif"


def remove_product(folder: Path) -> None:
    """Remove what a run leaves in its folder, and nothing else.

    The item goes first, so that no half product passes for a whole one; the marks of finished chunks before their
    pixels, so that none is taken for finished when it is gone; and the fingerprint last: as long as
    it stands the folder is known to be ours, should this be interrupted.
    """
    ledger = folder / LEDGER_NAME
    cogs = [cog_path(folder, array.parent.name) for array in (folder / STORE_NAME).glob("*/*/zarr.json")]
    names = (ITEM_NAME, PROVENANCE_NAME, METRICS_NAME, QUICKLOOK_NAME)
    parts = (ledger / "chunks", ledger / "partials", folder / STORE_NAME, ledger)
    for path in (*(folder / name for name in names), *cogs, *parts):
        _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def fsync(path: Path) -> None:
    """Wait until a file's bytes are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
