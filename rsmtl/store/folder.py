"""What a product's folder is called, and what is in it."""

import json
import re

from rsmtl.errors import SceneError
from rsmtl.store.place import Place, read, remove

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
LOCK_NAME, LEASE_NAME = "lock.json", "lease.json"
"""One of them stands while a run is at work."""

_DEVICE_NAMES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.IGNORECASE)
_FILE_NAMES = re.compile(r".*\.(json|html)", re.IGNORECASE)
"""What stands beside the products, as `collection.json` and `report.html` do."""
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


def product_folder(out: Place, scene_id: str) -> Place:
    """Return the folder of a scene's product; it is a direct child of `out` whatever the id.

    Ids come from catalogues, which are not trusted. Every byte of the id but ASCII letters, digits and `._-`
    is written as `=XX` (its UTF-8 value in hexadecimal), and so is a leading dot, a trailing dot and the
    first letter of a name that some systems reserve for a device, or that ends in `.json` or `.html`, as files beside
    the products do (in any case: some disks do not tell it). The usual ids stay as they are, two ids never share a
    folder where the disk tells capital letters from small ones, and `=` needs no escaping in the path of a URL, as `%`
    would.

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
    if name[0] == "." or _DEVICE_NAMES.match(name) or _FILE_NAMES.fullmatch(name):
        name = f"={ord(name[0]):02X}{name[1:]}"
    if name[-1] == ".":
        name = f"{name[:-1]}=2E"
    if len(name) > MAX_NAME_BYTES:
        raise SceneError(
            f"the scene id {scene_id[:40]!r}… makes a folder name of {len(name)} bytes, "
            f"at most {MAX_NAME_BYTES} fit: give the scene a shorter id"
        )
    return out / name


def cog_path(folder: Place, output_name: str) -> Place:
    """Return where the COG of an output stands."""
    return folder / f"{output_name}.tif"


def _cogs_of_item(folder: Place) -> list[Place]:
    """Return the COGs that a product's item names, in its folder; the store that has their arrays may be gone."""
    try:
        hrefs = [asset["href"] for asset in json.loads(read(folder / ITEM_NAME) or b"")["assets"].values()]
        names = [href.removeprefix("./") for href in hrefs]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
    return [folder / name for name in names if name.endswith(".tif") and "/" not in name]


def remove_product(folder: Place) -> None:
    """Remove what a run leaves in its folder, and nothing else.

    The item goes first, so that no half product passes for a whole one; the marks of finished chunks before their
    pixels, so that none is taken for finished when it is gone; and the fingerprint last: as long as
    it stands the folder is known to be ours, should this be interrupted.
    """
    ledger = folder / LEDGER_NAME
    cogs = [cog_path(folder, array.parent.name) for array in (folder / STORE_NAME).glob("*/*/zarr.json")]
    names = (ITEM_NAME, PROVENANCE_NAME, METRICS_NAME, QUICKLOOK_NAME)
    parts = (ledger / "chunks", ledger / "partials", folder / STORE_NAME, ledger)
    for path in (*(folder / name for name in names), *_cogs_of_item(folder), *cogs, *parts):
        remove(path)
