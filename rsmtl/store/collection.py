"""`collection.json`: the products of an output folder as a STAC collection that grows while they are made.

Items are the truth and the collection is derived from them: whoever writes it looks again at what stands, so that
several runs may write into one folder, and nothing is lost for longer than until the next of them is done.
"""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from sys import intern
from typing import Any

from pystac import get_stac_version
from pystac.utils import datetime_to_str, str_to_datetime

from rsmtl.errors import ResumeError, RunError
from rsmtl.store.folder import ITEM_NAME
from rsmtl.store.item import FINGERPRINT
from rsmtl.store.place import Place, is_object, read, write_text

COLLECTION_NAME = "collection.json"

COUNT = "rsmtl:products"
"""How many products there are; says too that the collection is ours to write."""

EVERY_S = 5.0
"""Between two writes while products are made, at least."""
SHARE = 0.05
"""Of the time that writing may take at most: with very many products it is done less often."""
READERS = 16
"""Items asked of an object store at the same time."""

SUMMARISED = (
    "platform",
    "constellation",
    "instruments",
    "mission",
    "proj:code",
    "mlm:name",
    "mlm:architecture",
)
"""Properties of items whose values are listed."""


@dataclass(frozen=True)
class Entry:
    """What the collection tells of a product."""

    bbox: tuple[float, ...] | None
    interval: tuple[datetime, datetime]
    values: tuple[tuple[str, str], ...]
    """Property and value, as JSON, for the summaries."""


class OutputCollection:
    """The collection of an output folder, and what of it is known."""

    def __init__(self, out: Place) -> None:
        """Look at what stands in the folder.

        Raises
        ------
        ResumeError
            If its `collection.json` is not ours, and would be lost.
        """
        self.out, self.path = out, out / COLLECTION_NAME
        self._known: dict[str, Entry] = {}
        self._next_s = time.monotonic() + EVERY_S
        _refuse_foreign(self.path)

    def add(self, folder: Place) -> None:
        """Note that a product stands, perhaps in the place of another, and write the collection if it is time to.

        What goes wrong with the disk or the store is left to `write` to tell: the product stands all the same.
        """
        self._known.pop(folder.name, None)
        started = time.monotonic()
        if started < self._next_s:
            return
        with suppress(RunError):
            self._update()
        now = time.monotonic()
        self._next_s = now + max(EVERY_S, (now - started) / SHARE)

    def write(self) -> None:
        """Read all products anew and write the collection.

        Another run may do so at the same time; it is looked at once more what stands afterwards, so that of two the
        one that is done last has what both have made.

        Raises
        ------
        RunError
            If the folder cannot be read, or the collection cannot be written.
        """
        self._known.clear()
        self._update()
        while not self._is_listed():
            self._update()

    def _update(self) -> None:
        """Read what is new, and write the collection unless it stands like that."""
        self._refresh()
        if not self._known and read(self.path) is None:
            return
        text = json.dumps(_collection(self.out.name, self._known), indent=1)
        if read(self.path) != text.encode():
            write_text(self.path, text)

    def _refresh(self) -> None:
        names = _folders(self.out)
        new = sorted(names - self._known.keys())
        found = {name: entry for name, entry in _entries(self.out, new) if entry is not None}
        self._known = {name: entry for name, entry in self._known.items() if name in names} | found

    def _is_listed(self) -> bool:
        """Whether the collection, which others may have written since, has all products, which they may have made."""
        self._refresh()
        try:
            links = json.loads(read(self.path) or b'{"links": []}')["links"]
            listed = {link["href"] for link in links if link["rel"] == "item"}
        except (ValueError, KeyError, TypeError):
            return False
        return listed == {_href(folder) for folder in self._known}


def _refuse_foreign(path: Place) -> None:
    content = read(path)
    if content is None:
        return
    try:
        ours = COUNT in json.loads(content)
    except (ValueError, TypeError):
        ours = False
    if not ours:
        raise ResumeError(
            f"{path} was not written by rsmtl, and the catalogue of the products would take its place: give another "
            "output folder, or move it away"
        )


def _folders(out: Place) -> set[str]:
    """Return names of what may be products' folders; nothing of ours that begins with a dot is one."""
    try:
        return {path.name for path in out.iterdir() if path.name[:1] not in ("", ".")} - {COLLECTION_NAME}
    except FileNotFoundError:
        return set()
    except Exception as error:  # object stores raise what they like
        raise RunError(
            f"cannot read {out} ({error}): see to the disk or the store, then run again"
        ) from error


def _entries(out: Place, names: Sequence[str]) -> Iterable[tuple[str, Entry | None]]:
    if not is_object(out):
        return ((name, _entry(out / name)) for name in names)
    with ThreadPoolExecutor(READERS, thread_name_prefix="rsmtl-items") as pool:
        return list(zip(names, pool.map(_entry, [out / name for name in names]), strict=True))


def _entry(folder: Place) -> Entry | None:
    """Read the item of a product; None if there is none, or it is none of ours, or broken."""
    try:
        item = json.loads(read(folder / ITEM_NAME) or b"")
        properties, bbox = item["properties"], item.get("bbox")
        if item["type"] != "Feature" or FINGERPRINT not in properties:
            return None
        if bbox is not None and not (len(bbox) == 4 and all(map(isfinite, bbox))):
            return None
        return Entry(bbox and tuple(bbox), _interval(properties), tuple(_values(item)))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None
    except RunError:
        if is_object(folder):  # the store is out of order, which is no reason to leave its products out
            raise
        return None  # a folder of somebody else's


def _interval(properties: Mapping[str, Any]) -> tuple[datetime, datetime]:
    when = properties["datetime"]
    start, end = (
        str_to_datetime(properties.get(name) or when) for name in ("start_datetime", "end_datetime")
    )
    return start.astimezone(UTC), end.astimezone(UTC)


def _values(item: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in SUMMARISED:
        found = item["properties"].get(name)
        for value in found if isinstance(found, list) else [] if found is None else [found]:
            yield name, intern(json.dumps(value))
    for asset in item["assets"].values():
        if "gsd" in asset:
            yield "gsd", intern(json.dumps(asset["gsd"]))
        for value in asset.get("classification:classes", ()):
            yield "classification:classes", intern(json.dumps(value))


def _collection(name: str, known: Mapping[str, Entry]) -> dict[str, Any]:
    """Return the collection; the same text for the same items."""
    return {
        "type": "Collection",
        "stac_version": get_stac_version(),
        "stac_extensions": [],
        "id": name or "products",
        "title": f"Products in {name}" if name else "Products",
        "description": "What a model made of scenes, one item each; written by rsmtl.",
        "license": "other",
        "extent": {
            "spatial": {"bbox": [_union([entry.bbox for entry in known.values() if entry.bbox])]},
            "temporal": {"interval": [_span([entry.interval for entry in known.values()])]},
        },
        "summaries": _summaries(known.values()),
        COUNT: len(known),
        "links": [
            {"rel": "root", "href": f"./{COLLECTION_NAME}", "type": "application/json"},
            *(
                {"rel": "item", "href": _href(folder), "type": "application/geo+json"}
                for folder in sorted(known)
            ),
        ],
    }


def _href(folder: str) -> str:
    return f"./{folder}/{ITEM_NAME}"


def _summaries(entries: Iterable[Entry]) -> dict[str, Any]:
    found: dict[str, set[str]] = {}
    for entry in entries:
        for name, value in entry.values:
            found.setdefault(name, set()).add(value)
    lists: dict[str, Any] = {
        name: [json.loads(value) for value in sorted(values)] for name, values in sorted(found.items())
    }
    if "gsd" in lists:
        lists["gsd"] = {"minimum": min(lists["gsd"]), "maximum": max(lists["gsd"])}
    return lists


def _union(boxes: Sequence[tuple[float, ...]]) -> list[float]:
    """Return the box around boxes; across the antimeridian if one of them is, and then round its widest gap."""
    if not boxes:
        return [-180.0, -90.0, 180.0, 90.0]
    south, north = min(box[1] for box in boxes), max(box[3] for box in boxes)
    if all(box[0] <= box[2] for box in boxes):
        return [min(box[0] for box in boxes), south, max(box[2] for box in boxes), north]
    spans = sorted((box[0], box[2] if box[0] <= box[2] else box[2] + 360) for box in boxes)
    west, reach, widest = spans[0][0], spans[0][1], (0.0, 0.0, 0.0)
    for start, end in [*spans[1:], (west + 360, 0.0)]:
        widest = max(widest, (start - reach, reach, start))
        reach = max(reach, end)
    gap, end, start = widest
    return [_degrees(start), south, _degrees(end), north] if gap > 0 else [-180.0, south, 180.0, north]


def _degrees(longitude: float) -> float:
    return longitude - 360 if longitude > 180 else longitude


def _span(intervals: Sequence[tuple[datetime, datetime]]) -> list[str | None]:
    if not intervals:
        return [None, None]
    start, end = min(start for start, _ in intervals), max(end for _, end in intervals)
    return [datetime_to_str(start), datetime_to_str(end)]
