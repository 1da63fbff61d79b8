"""`reference/product.md`: what stands on the disk, shown on a product that is made for the page."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import zarr

from docs.reference.fields import field_list
from rsmtl.store.collection import COLLECTION_NAME
from rsmtl.store.folder import (
    FINGERPRINT_NAME,
    ITEM_NAME,
    LEDGER_NAME,
    PROVENANCE_NAME,
    QUICKLOOK_NAME,
    STORE_NAME,
)
from rsmtl.store.ledger import ChunkRecord, Span
from rsmtl.store.provenance import InputRun, Run, Source
from rsmtl.synthetic.catalogue import write_catalogue

MEANINGS = {
    re.escape(COLLECTION_NAME): "STAC collection of all finished products of the folder",
    rf"[^/]+/{ITEM_NAME}": "STAC item, written last: where it stands, the product is complete",
    rf"[^/]+/{PROVENANCE_NAME}": "what it was made from, with what, and what it took",
    rf"[^/]+/{QUICKLOOK_NAME}": "a picture of all outputs",
    r"[^/]+/[a-z_]+\.tif": "Cloud Optimized GeoTIFF of an output",
    rf"[^/]+/{STORE_NAME}": "Zarr v3 store: a group per GSD, a shard per chunk",
    rf"[^/]+/{LEDGER_NAME}/{FINGERPRINT_NAME}": "all that can change a bit of the product",
    rf"[^/]+/{LEDGER_NAME}/chunks/[0-9]+-[0-9]+\.json": "mark of a finished chunk, by row and column",
}
"""Patterns of paths in an output folder. A file that none of them knows ends the build."""


def parts() -> dict[str, str]:
    """Make a small product, and return Markdown by the name under which the page asks for it."""
    with TemporaryDirectory() as scratch:
        products = _products(Path(scratch))
        product = next(path for path in products.iterdir() if path.is_dir())
        return {
            "tree": f"```text\n{_tree(products)}\n```",
            "arrays": _arrays(product / STORE_NAME),
            "item": _item(json.loads((product / ITEM_NAME).read_text())),
            "run": field_list(Run),
            "input_run": field_list(InputRun),
            "source": field_list(Source),
            "chunk_record": field_list(ChunkRecord),
            "span": field_list(Span),
            "mark": f"```json\n{(product / LEDGER_NAME / 'chunks' / '0-1.json').read_text()}\n```",
            "fingerprint": _fingerprint(json.loads((product / LEDGER_NAME / FINGERPRINT_NAME).read_text())),
        }


def _products(scratch: Path) -> Path:
    catalogue, out = (
        write_catalogue(scratch / "catalogue", n_scenes=1, size_px=400, seed=7),
        scratch / "products",
    )
    words = f"predict {catalogue} --assets hrms --model urec-landscape --out {out}"
    sizes = "--window 128 --overlap 32 --chunk 2 --extras confidence"
    command = [sys.executable, "-m", "rsmtl", *f"{words} {sizes}".split()]
    subprocess.run(command, check=True, capture_output=True)
    return out


def _tree(products: Path) -> str:
    """Return the files with their meaning; of those that are alike in kind and folder, the first."""
    lines, seen = [], set()
    for path in sorted(products.rglob("*")):
        name = path.relative_to(products).as_posix()
        if f"{STORE_NAME}/" in name or (path.is_dir() and path.name != STORE_NAME):
            continue
        pattern = next((one for one in MEANINGS if re.fullmatch(one, name)), None)
        if pattern is None:
            raise RuntimeError(f"nothing is said of {name}: add its meaning to {__name__}.MEANINGS")
        if pattern not in seen or path.suffix == ".tif":
            lines.append((name + "/" * path.is_dir(), MEANINGS[pattern]))
        seen.add(pattern)
    return "\n".join(f"{name}\n    {meaning}" for name, meaning in lines)


def _arrays(store: Path) -> str:
    """Return a table of the arrays of a store."""
    rows = ["| array | shape | shard | type | nodata |", "|---|---|---|---|---|"]
    for name, array in _leaves(zarr.open_group(store, mode="r")):
        nodata = array.attrs.get("_FillValue", "")
        shown = nodata if isinstance(nodata, int) else ""  # that of a coordinate is NaN in base64
        rows.append(
            f"| `{name}` | {_shape(array.shape)} | {_shape(array.shards)} | {array.dtype} | {shown} |"
        )
    return "\n".join(rows)


def _leaves(group: zarr.Group, prefix: str = "") -> Iterator[tuple[str, zarr.Array[Any]]]:
    for name, member in sorted(group.members()):
        if isinstance(member, zarr.Group):
            yield from _leaves(member, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", member


def _shape(shape: tuple[int, ...] | None) -> str:
    return f"`{', '.join(str(length) for length in shape)}`" if shape else ""


def _item(item: Mapping[str, Any]) -> str:
    """Return tables of an item's properties and assets."""
    properties = "\n".join(f"| `{name}` | `{_short(value)}` |" for name, value in item["properties"].items())
    assets = "\n".join(
        f"| `{name}` | `{asset['href']}` | `{asset.get('type', '')}` | {', '.join(asset.get('roles', ()))} |"
        for name, asset in item["assets"].items()
    )
    return (
        f"| property | value |\n|---|---|\n{properties}\n\n"
        f"| asset | where | type | roles |\n|---|---|---|---|\n{assets}\n"
    )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return (text if len(text) <= 60 else f"{text[:60]}…").replace("|", "\\|")


def _fingerprint(parts: Mapping[str, Any]) -> str:
    """Return which parts a fingerprint has, with what is in those that are no plain value."""
    rows = [
        f"| `{name}` | {', '.join(f'`{key}`' for key in part) if isinstance(part, dict) else type(part).__name__} |"
        for name, part in parts.items()
    ]
    return "\n".join(["| part | what is in it |", "|---|---|", *rows])
