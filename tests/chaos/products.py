"""What a product is, but for the time it took: a sha256 of each of its files."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rsmtl.store.folder import ITEM_NAME, PROVENANCE_NAME


def contents(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file of a product by its path; of records, of what does not depend on the clock."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(_lasting(path, folder)).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def differing(folder: Path, expected: dict[str, str]) -> list[str]:
    """Return the files that are not as expected, missing ones and strangers too; all if there is no product."""
    found = contents(folder) if (folder / ITEM_NAME).exists() else {}
    return sorted(name for name in expected.keys() | found.keys() if found.get(name) != expected.get(name))


def _lasting(path: Path, folder: Path) -> bytes:
    forget = _CLOCKED.get(path.relative_to(folder).parts[0])
    if forget is None or path.suffix != ".json":
        return path.read_bytes()
    try:
        value = json.loads(path.read_bytes())
        forget(value)
    except (ValueError, KeyError, TypeError):
        return path.read_bytes()
    return json.dumps(value, sort_keys=True).encode()


def _of_run(run: dict[str, Any]) -> None:
    for name in ("seconds", "started", "finished"):
        del run[name]


def _of_item(item: dict[str, Any]) -> None:
    del item["properties"]["processing:datetime"]
    for name in ("file:size", "file:checksum"):
        del item["assets"]["run"][name]


def _of_mark(mark: dict[str, Any]) -> None:
    mark.pop("spans", None)


_CLOCKED: dict[str, Callable[[dict[str, Any]], None]] = {
    PROVENANCE_NAME: _of_run,
    ITEM_NAME: _of_item,
    "ledger": _of_mark,
}
