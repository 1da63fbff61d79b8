"""Whether the output can be written from everywhere, and is one and the same; nothing is left behind in it."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rsmtl.doctor.finding import Finding
from rsmtl.units import size

ROOM_BYTES = 2**30


def look_at_room(out: str) -> int | None:
    """Return what is free where the folder stands; None of an object store, which does not say."""
    import shutil

    from rsmtl.store.place import is_object, place

    folder = place(out)
    return None if is_object(folder) else shutil.disk_usage(folder).free


def write_sign(out: str, name: str, limit_s: float) -> dict[str, Any]:
    """Write a file as products are written, under another name first, read it back, and leave it for others to see.

    A write that ends after its limit has nobody left who would remove the file, and does so itself.
    """
    from rsmtl.store.place import is_object, place, read, remove, write_bytes

    folder = place(out)
    if not is_object(folder) and not folder.is_dir():
        return {"stands": False}
    sign, began, asked_s = folder / name, time.monotonic(), time.time()
    write_bytes(sign, name.encode())
    came_s = time.time()
    if time.monotonic() - began > limit_s:
        remove(sign)
    return {
        "stands": True,
        "read_back": read(sign) == name.encode(),
        "span": [asked_s, came_s, sign.stat().st_mtime],
    }


def see_signs(out: str, names: list[str]) -> list[str]:
    """Return which of the files, written by others, are seen here as they were written."""
    from rsmtl.store.place import place, read

    folder = place(out)
    return [name for name in names if read(folder / name) == name.encode()]


def remove_signs(out: str, names: list[str]) -> list[str]:
    """Remove files, and return those that stand nevertheless."""
    from rsmtl.store.place import place, remove

    folder = place(out)
    for name in names:
        remove(folder / name)
    return [name for name in names if (folder / name).exists()]


def make_folders(out: str) -> list[str]:
    """Make the folder and those above it that are missing, and return these, the innermost first."""
    from rsmtl.store.place import disk_errors, is_object, place

    folder = place(out)
    if is_object(folder):
        return []
    missing = [str(path) for path in (folder, *folder.parents) if not path.exists()]
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return missing


def remove_folders(folders: list[str]) -> None:
    """Remove folders as long as they are empty: somebody else may have put something there meanwhile."""
    with suppress(OSError):
        for folder in folders:
            Path(folder).rmdir()


def judge_written(place: str, out: str, seen: Mapping[str, Any]) -> Finding | None:
    """Tell of a place that cannot write; None if it can, and it remains to be seen whether others see it."""
    if not seen["stands"]:
        return Finding(
            "output",
            f"there is no {out} here, though it was made where the command runs",
            "mend",
            "mount the same storage there, or give an output that all reach, such as s3://bucket/prefix",
            where=(place,),
        )
    if not seen["read_back"]:
        text = f"{out} gives back something else than was written"
        return Finding("output", text, "mend", "look at the storage", where=(place,))
    return None


def judge_shared(out: str, shared: Mapping[str, bool]) -> Iterator[Finding]:
    """Tell whether what was written at each place is seen at the others."""
    for place, seen in shared.items():
        if seen:
            seen_too = ", and each sees what others write" if len(shared) > 1 else ""
            yield Finding("output", f"{out} can be written, read back and removed{seen_too}", where=(place,))
        else:
            yield Finding(
                "output",
                f"{out} is another folder than the one where the command runs: neither sees what the other writes",
                "mend",
                "mount the same storage there, or give an output that all reach, such as s3://bucket/prefix",
                where=(place,),
            )


def left_behind(out: str, names: Iterable[str]) -> Finding:
    """Tell of files that could be written and cannot be removed."""
    text = f"{out} takes files and does not let them be removed: {', '.join(names)}"
    return Finding("output", text, "mend", "give the right to remove files there, and remove these")


def judge_room(out: str, free: int | None, wanted_bytes: int) -> Iterator[Finding]:
    """Tell whether the disk has room for a product."""
    if free is None:
        return
    wanted = max(ROOM_BYTES, wanted_bytes)
    if free < wanted:
        text = f"{out} has {size(free)} free, {size(wanted)} are wanted"
        yield Finding("room for output", text, "mend", "make room, or give another folder")
    else:
        yield Finding("room for output", f"{size(free)} free")
