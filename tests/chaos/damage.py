"""Damage to what has been written: to shards, to the ledger, to the small files of a product."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from rsmtl.store.folder import FINGERPRINT_NAME, ITEM_NAME, LEDGER_NAME, PROVENANCE_NAME, STORE_NAME
from tests.chaos.site import NotNow, Site
from tests.chaos.tally import Chunk

_CHUNK = re.compile(r"(\d+)[-/](\d+)(\.\w+)?$")
"""How the path of a shard, of sums and of a mark ends."""


def tear_shard(site: Site) -> None:
    """A shard has lost its second half."""
    _damage_chunk(site, f"{STORE_NAME}/*/*/c/*/*/*", _tear)


def flip_bit(site: Site) -> None:
    """A bit of a shard is not what was written."""
    _damage_chunk(site, f"{STORE_NAME}/*/*/c/*/*/*", lambda file: _flip(site, file))


def remove_shard(site: Site) -> None:
    """A shard is gone."""
    _damage_chunk(site, f"{STORE_NAME}/*/*/c/*/*/*", Path.unlink)


def tear_sums(site: Site) -> None:
    """Sums that a chunk's neighbours wait for have lost their second half."""
    _damage_chunk(site, f"{LEDGER_NAME}/partials/*/*.npz", _tear)


def tear_mark(site: Site) -> None:
    """The mark of a finished chunk has lost its second half."""
    _damage_chunk(site, f"{LEDGER_NAME}/chunks/*.json", _tear)


def tear_record(site: Site) -> None:
    """Item, provenance, fingerprint or the store's metadata have lost their second half."""
    names = (ITEM_NAME, PROVENANCE_NAME, f"{LEDGER_NAME}/{FINGERPRINT_NAME}", f"{STORE_NAME}/*/*/zarr.json")
    _tear(_one_of(site, site.rng.choice(names)))


def tear_picture(site: Site) -> None:
    """A COG or the quicklook has lost its second half."""
    _tear(_one_of(site, site.rng.choice(("*.tif", "*.png"))))


def _damage_chunk(site: Site, pattern: str, act: Callable[[Path], None]) -> None:
    file = _one_of(site, pattern)
    act(file)
    found = _CHUNK.search(str(file))
    assert found is not None
    scene = file.relative_to(site.out).parts[0]
    site.damaged |= _to_run_again((scene, int(found[1]), int(found[2])))


def _to_run_again(chunk: Chunk) -> set[Chunk]:
    """Return the chunks whose windows reach into a chunk."""
    scene, row, col = chunk
    return {(scene, row - up, col - left) for up in (0, 1) for left in (0, 1)}


def _one_of(site: Site, pattern: str) -> Path:
    """Choose a file of any product.

    Raises
    ------
    NotNow
        If there is none.
    """
    found = [file for file in sorted(site.out.glob(f"landscape-*/{pattern}")) if ".part" not in file.name]
    if not found:
        raise NotNow
    file = site.rng.choice(found)
    site.marred.add(file.relative_to(site.out).parts[0])
    return file


def _tear(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def _flip(site: Site, file: Path) -> None:
    place = site.rng.randrange(file.stat().st_size)
    with file.open("r+b") as opened:
        opened.seek(place)
        (value,) = opened.read(1)
        opened.seek(place)
        opened.write(bytes([value ^ 1 << site.rng.randrange(8)]))
