"""Where bytes stand, on a disk or in an object store, and how a file comes to be there: whole or not at all."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from typing_extensions import TypeIs
from upath import UPath

from rsmtl.errors import InputError, RsmtlError, RunError

Place = Path | UPath
"""A path on a disk, or a URL of any object store that fsspec knows, such as `s3://bucket/prefix`."""

_PART = ".part"


def place(href: str | Path | UPath) -> Place:
    """Return where something stands: an absolute path, or the URL of an object store.

    Credentials and endpoints come from the environment, as the store's own tools take them (`AWS_PROFILE`,
    `AWS_ENDPOINT_URL`, …), here and on every worker; nothing of them is kept here.

    Raises
    ------
    InputError
        If nothing is installed that knows such URLs.
    """
    if isinstance(href, UPath):
        return href
    text = os.fspath(href)
    if "://" not in text:
        return Path(text).absolute()
    if text.startswith("file://"):
        return Path(text.removeprefix("file://"))
    try:
        found = UPath(text, use_listings_cache=False)  # others write there too
        found.fs  # noqa: B018  # made now, so that a missing package is found now
    except (ValueError, ImportError, NotImplementedError) as error:
        raise InputError(
            f"{text} cannot be used as an output folder ({error}): give a path or a URL such as s3://bucket/prefix"
        ) from error
    return found


def is_object(path: Place) -> TypeIs[UPath]:
    """Whether a place is in an object store, where files appear whole but folders and renaming do not exist."""
    return not isinstance(path, Path)


@contextmanager
def disk_errors(path: Place) -> Iterator[None]:
    """Turn what a disk or a store says (full, no permission, …) into a `RunError` that names `path`."""
    try:
        yield
    except OSError as error:
        reason = (os.strerror(error.errno) if error.errno else str(error)).rstrip(".")
        raise _cannot_write(path, reason) from error
    except (RsmtlError, MemoryError):
        raise
    except Exception as error:
        if not is_object(path):
            raise
        raise _cannot_write(path, _one_line(error)) from error  # each store's library has errors of its own


@contextmanager
def store_errors(path: Place) -> Iterator[None]:
    """Turn what a disk or a store says while it is looked at into a `RunError` that names `path`."""
    try:
        yield
    except (RsmtlError, MemoryError):
        raise
    except Exception as error:
        if not is_object(path) and not isinstance(error, OSError):
            raise
        raise _cannot_read(path, error) from error


def refuse_silence(path: Place, error: Exception) -> None:
    """Raise a `RunError` if an error is a store's that does not answer, which says nothing about what it holds."""
    library = type(error).__module__.partition(".")[0]
    if not is_object(path) or isinstance(error, FileNotFoundError):
        return
    if isinstance(error, OSError) or library in ("botocore", "aiohttp"):
        raise _cannot_read(path, error) from error


def _cannot_read(path: Place, error: Exception) -> RunError:
    return RunError(f"cannot read {path} ({_one_line(error)}): see to the disk or the store, then run again")


def _cannot_write(path: Place, reason: str) -> RunError:
    return RunError(f"cannot write {path}: {reason}; make room or give another output folder, then run again")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def read(path: Place) -> bytes | None:
    """Return a file's bytes; None if there is no such file.

    Raises
    ------
    RunError
        If it cannot be read, which says nothing about what it holds.
    """
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except MemoryError:
        raise
    except Exception as error:
        raise _cannot_read(path, error) from error


def read_all(folder: Place, pattern: str) -> dict[str, bytes]:
    """Return the files of a folder whose names match a pattern, by name; an object store is asked for all at once.

    Raises
    ------
    RunError
        As `read`.
    """
    if not is_object(folder):
        found = ((path.name, read(path)) for path in folder.glob(pattern))
        return {name: content for name, content in found if content is not None}
    try:
        names = [path.path for path in folder.glob(pattern)]
        contents = folder.fs.cat(names, on_error="omit") if names else {}
    except Exception as error:
        raise _cannot_read(folder, error) from error
    return {name.rsplit("/", 1)[-1]: content for name, content in contents.items()}


def write_bytes(path: Place, content: bytes, *, sync: bool = True) -> None:
    """Write a file: a reader sees the old one or the whole new one.

    Raises
    ------
    RunError
        If it cannot be written.
    """
    if is_object(path):
        with disk_errors(path):
            path.fs.pipe_file(path.path, content)
        return
    with replacing(path, sync=sync) as part:
        part.write_bytes(content)


def write_text(path: Place, content: str) -> None:
    """Write a file of UTF-8 text, as `write_bytes`."""
    write_bytes(path, content.encode())


@contextmanager
def temporary(path: Place) -> Iterator[Path]:
    """Give a path for a temporary file, and remove the file at the end.

    It is beside `path`, or among the system's temporary files if `path` is an object. If the process is killed it
    stays; `sweep` removes those on disks.
    """
    part = (Path(tempfile.gettempdir()) if is_object(path) else path.parent) / _part_name(path)
    try:
        yield part
    finally:
        remove(part)


def _part_name(path: Place) -> str:
    return f".{path.name}.{uuid.uuid4().hex[:12]}{_PART}"


@contextmanager
def replacing(path: Place, *, sync: bool = True) -> Iterator[Path]:
    """Give a temporary path to write to; what stands there at the end replaces `path` at once.

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
        if not is_object(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        if is_object(path):
            path.fs.put_file(str(part), path.path)
            return
        if sync:
            fsync(part)
        part.replace(path)


def create(path: Place, content: bytes) -> bool:
    """Write a file unless one stands there, and say whether it was written: of several writers one succeeds."""
    try:
        if is_object(path):
            path.fs.pipe_file(path.path, content, mode="create")
        else:
            with path.open("xb") as file:
                file.write(content)
    except FileExistsError:
        return False
    return True


def is_part(path: Place) -> bool:
    """Whether a path is that of a temporary file of `temporary` or `replacing`."""
    return path.name.startswith(".") and _PART in path.name


def sweep(folder: Place) -> None:
    """Remove the temporary files that killed processes left in `folder` and below."""
    if is_object(folder):  # an upload that was cut off is no object; the bucket's own rules remove its parts
        return
    for path in sorted(folder.rglob(f".*{_PART}*")):
        remove(path)


def make_folder(path: Place) -> None:
    """Make a folder and those above it; object stores have none."""
    if not is_object(path):
        path.mkdir(parents=True, exist_ok=True)


def remove(path: Place) -> None:
    """Remove a file or a folder with all that it holds; a symbolic link itself. Nothing happens if there is none."""
    if is_object(path):
        if path.exists():
            path.fs.rm(path.path, recursive=True)
        return
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
