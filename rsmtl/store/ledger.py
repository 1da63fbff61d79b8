"""The ledger of a run: its fingerprint, which chunks are finished, and the sums that travel between them.

It is files in the product's folder, each written whole or not at all, so that a crash leaves it readable:

- `ledger/fingerprint.json`: named parts of everything that can change a bit of the product;
- `ledger/chunks/<row>-<col>.json`: one mark per finished chunk, written after its shards are on the disk;
- `ledger/partials/<run>/<row>-<col>.npz`: a chunk's weighted sums until its neighbours have taken them.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from rsmtl.errors import ResumeError, RunError
from rsmtl.store.folder import (
    FINGERPRINT_NAME,
    ITEM_NAME,
    LEASE_NAME,
    LEDGER_NAME,
    LOCK_NAME,
    STORE_NAME,
    remove_product,
)
from rsmtl.store.place import (
    Place,
    disk_errors,
    is_object,
    is_part,
    make_folder,
    read,
    read_all,
    remove,
    replacing,
    store_errors,
    sweep,
    write_bytes,
)

_SHOWN = 60
"""Characters of a differing value that a message shows."""

ChunkIndex = tuple[int, int]
"""Row and column of a chunk."""


@dataclass(frozen=True)
class Span:
    """A job's work on a chunk."""

    worker: str
    """Host and thread."""
    began_s: float
    """Seconds since 1970, by the worker's clock."""
    seconds: Mapping[str, float]
    """By stage, one after the other."""


@dataclass(frozen=True)
class ChunkRecord:
    """What is known of a finished chunk."""

    run: str
    """Digest of the fingerprint of the run that finished it."""
    windows_run: int
    windows_skipped: int
    """Windows without a valid pixel."""
    spans: tuple[Span, ...]
    """Of the job that ran its windows and the one that finished it, or of the one that did both."""
    sha256: Mapping[str, str]
    """`content_hash` of the chunk's shard of each output."""


_RECORD = TypeAdapter(ChunkRecord)


def fingerprint_digest(fingerprint: Mapping[str, Any]) -> str:
    """Return the sha256 of a fingerprint, independent of the order of its parts."""
    return hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()


class Ledger:
    """The ledger in a product's folder; any number of processes may use it, each for chunks of its own."""

    def __init__(self, folder: Place, run: str = "") -> None:
        self.folder = folder
        self._run = run
        """Digest of the fingerprint of the run that a job belongs to. Its sums lie apart from those of other runs."""
        self._root = folder / LEDGER_NAME

    def open(self, fingerprint: Mapping[str, Any], *, resume: bool = False, overwrite: bool = False) -> None:
        """Begin a run, or take up one that was interrupted. Called once, before any chunk.

        Parameters
        ----------
        fingerprint
            Named parts, JSON values, that decide every bit of the product.
        resume
            Keep what an interrupted run with the same fingerprint has finished.
        overwrite
            Remove what stands; with `resume` too, but for an unfinished run of the same fingerprint.

        Raises
        ------
        ResumeError
            If the folder holds a run and neither resuming nor overwriting was asked for, or one with another
            fingerprint, or files that no run of this program made.
        RunError
            If the folder cannot be written.
        """
        with disk_errors(self.folder):
            begun = (self._root / FINGERPRINT_NAME).exists()
            if overwrite and begun and not (resume and self._is_unfinished(fingerprint)):
                remove_product(self.folder)
            self._check(fingerprint, resume)
            if not (self.folder / STORE_NAME).exists():  # marks of chunks that are gone
                remove(self._root / "chunks")
            for name in ("chunks", "partials"):
                make_folder(self._root / name)
            sweep(self.folder)
        _write_json(self._root / FINGERPRINT_NAME, fingerprint)

    def _is_unfinished(self, fingerprint: Mapping[str, Any]) -> bool:
        same = fingerprint_digest(self.fingerprint() or {}) == fingerprint_digest(fingerprint)
        return same and not (self.folder / ITEM_NAME).exists()

    def fingerprint(self) -> dict[str, Any] | None:
        """Return the fingerprint of the run that the folder holds; None if there is none that can be read."""
        return _read_json(self._root / FINGERPRINT_NAME)

    def mark_done(self, chunk: ChunkIndex, record: ChunkRecord) -> None:
        """Say that a chunk is finished; only after its shards are written."""
        write_bytes(self._mark(chunk), _RECORD.dump_json(record, indent=1))

    def unmark(self, chunk: ChunkIndex) -> None:
        """Take back that a chunk is finished."""
        with disk_errors(self._root):
            remove(self._mark(chunk))

    def check_current(self) -> None:
        """Refuse to go on if another run has taken over the folder, as a late job of an interrupted run may find.

        Raises
        ------
        RunError
            If the fingerprint in the folder is not that of this run.
        """
        if fingerprint_digest(self.fingerprint() or {}) != self._run:
            raise RunError(f"another run has taken over {self.folder}: nothing more of this one is written")

    def is_done(self, chunk: ChunkIndex) -> bool:
        """Whether a chunk is finished."""
        return self._record(read(self._mark(chunk))) is not None

    def done(self) -> dict[ChunkIndex, ChunkRecord]:
        """Return the finished chunks of this run, of any if none was named; a mark that is damaged counts as absent."""
        found = {}
        for name, content in read_all(self._root / "chunks", "*-*.json").items():
            record = self._record(content)
            if record is not None:
                row, col = name.removesuffix(".json").split("-")
                found[int(row), int(col)] = record
        return found

    def _record(self, content: bytes | None) -> ChunkRecord | None:
        try:
            record = _RECORD.validate_json(content or b"")
        except ValidationError:
            return None
        return record if self._run in ("", record.run) else None

    def write_partial(self, chunk: ChunkIndex, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep the sums of a chunk for its neighbours; replaces what stands.

        They are not forced to the disk: after a power cut a broken file is found by its checksums, and the
        chunk is computed again.
        """
        with replacing(self._partial(chunk), sync=False) as part, part.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    def read_partial(self, chunk: ChunkIndex, names: Sequence[str]) -> dict[str, NDArray[Any]] | None:
        """Return the named sums of a chunk, reading no others from a disk; None if they are absent or damaged."""
        path = self._partial(chunk)
        source = io.BytesIO(read(path) or b"") if is_object(path) else path
        try:
            with np.load(source, allow_pickle=False) as archive:
                found = {name: archive[name] for name in names}
        except Exception:  # numpy and zipfile raise whatever a damaged byte leads them to
            return None
        return found if all(isinstance(array, np.ndarray) for array in found.values()) else None

    def has_partial(self, chunk: ChunkIndex) -> bool:
        """Whether the sums of a chunk are there, and their file whole from end to end, as an object always is."""
        path = self._partial(chunk)
        with store_errors(path):
            return path.exists() if is_object(path) else zipfile.is_zipfile(path)

    def partials(self) -> set[ChunkIndex]:
        """Return the chunks of which `has_partial` is true."""
        with store_errors(self._root):
            found = [path.stem.split("-") for path in self._partial((0, 0)).parent.glob("*-*.npz")]
        there = {(int(row), int(col)) for row, col in found}
        return there if is_object(self.folder) else {chunk for chunk in there if self.has_partial(chunk)}

    def drop_partial(self, chunk: ChunkIndex) -> None:
        """Remove the sums of a chunk; nothing happens if there are none."""
        with disk_errors(self._root):
            self._partial(chunk).unlink(missing_ok=True)

    def close(self) -> None:
        """End a finished run: the marks stay, as its record, the travelling sums go."""
        with disk_errors(self._root):
            remove(self._root / "partials")

    def _check(self, asked: Mapping[str, Any], resume: bool) -> None:
        if not (self._root / FINGERPRINT_NAME).exists():
            self._check_empty()
            remove(self._root)  # marks without a fingerprint belong to nobody
            return
        standing = self.fingerprint()
        if standing is None:
            if resume and self._marked_by() <= {
                fingerprint_digest(asked)
            }:  # then it can only have been this one
                return
            raise ResumeError(
                f"{self.folder} holds a run whose fingerprint is damaged, so that nothing can be said of it; "
                "add --overwrite to start anew"
            )
        differing = list(_differences(standing, asked))
        if differing:
            raise ResumeError(
                f"{self.folder} holds another run: {'; '.join(differing)}; run with what it was begun with, "
                "give another output folder, or add --overwrite to start anew"
            )
        if not resume:
            if (self.folder / ITEM_NAME).exists():
                raise ResumeError(f"{self.folder} holds a finished product; add --overwrite to make it anew")
            raise ResumeError(
                f"{self.folder} holds an unfinished run; add --resume to finish it "
                "or --overwrite to start anew"
            )

    def _marked_by(self) -> set[str]:
        """Runs that finished chunks in this folder."""
        return {record.run for record in Ledger(self.folder).done().values()}

    def _check_empty(self) -> None:
        """Refuse a folder with files of others: a product would mix with them."""
        if not self.folder.exists():
            return
        ours = (LEDGER_NAME, LOCK_NAME, LEASE_NAME)
        strangers = sorted(p.name for p in self.folder.iterdir() if p.name not in ours and not is_part(p))
        if strangers:
            raise ResumeError(
                f"{self.folder} holds files that no run of rsmtl made, such as {strangers[0]!r}; "
                "give another output folder"
            )

    def _mark(self, chunk: ChunkIndex) -> Place:
        return self._root / "chunks" / f"{chunk[0]}-{chunk[1]}.json"

    def _partial(self, chunk: ChunkIndex) -> Place:
        return self._root / "partials" / self._run[:16] / f"{chunk[0]}-{chunk[1]}.npz"


def _differences(standing: Mapping[str, Any], asked: Mapping[str, Any]) -> Iterator[str]:
    """Name each part of two fingerprints that differs, with both values."""
    was, now = dict(_leaves(standing)), dict(_leaves(asked))
    for name in dict.fromkeys((*was, *now)):
        if was.get(name) != now.get(name):
            yield f"{name} was {_shorten(was.get(name))} and is {_shorten(now.get(name))}"


def _leaves(parts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in parts.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", json.dumps(value, sort_keys=True)


def _shorten(text: str | None) -> str:
    if text is None:
        return "absent"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _write_json(path: Place, value: Mapping[str, Any]) -> None:
    write_bytes(path, json.dumps(value, indent=1).encode())


def _read_json(path: Place) -> dict[str, Any] | None:
    try:
        value = json.loads(read(path) or b"")
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
