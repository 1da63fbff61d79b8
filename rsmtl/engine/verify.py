"""`verify`: compare a product with its checksums, some chunks with what the model gives, and look for a grid."""

import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from numpy.typing import NDArray

from rsmtl.config import Settings
from rsmtl.engine.classical import model_finder
from rsmtl.engine.executor import SerialExecutor
from rsmtl.engine.kernel import Array, finish_chunk, run_chunk
from rsmtl.engine.mend import torn_job
from rsmtl.engine.plan import Plan, plan
from rsmtl.engine.seam import Seam
from rsmtl.engine.seams import seams
from rsmtl.engine.stored import stored_chunk
from rsmtl.errors import InputError, RunError
from rsmtl.lattice import Area, Chunk
from rsmtl.scene.open import reopen
from rsmtl.store.claim import claimed
from rsmtl.store.folder import FINGERPRINT_NAME, ITEM_NAME, LEDGER_NAME
from rsmtl.store.item import damaged_files
from rsmtl.store.ledger import Ledger, fingerprint_digest
from rsmtl.store.place import Place, disk_errors, read, remove
from rsmtl.store.provenance import Run, read_run, software
from rsmtl.store.zarr import damaged_metadata


@dataclass(frozen=True)
class Verification:
    """What a verification found."""

    folder: Place
    n_chunks: int
    checked: tuple[Chunk, ...]
    differing: tuple[tuple[Chunk, str], ...]
    """Of the chunks computed again, those whose stored values are not what the model gives, and of which outputs."""
    torn: tuple[tuple[Chunk, str], ...]
    """Chunks and outputs whose stored values are not those that were written: their checksum differs from the ledger's,
    or they cannot be read."""
    damaged: tuple[str, ...]
    """Other files of the product that are not what was written: their checksum differs, or they are gone."""
    changed_inputs: tuple[str, ...]
    """Files of the scene whose size, time or etag is not what it was, which explains why chunks differ if they do."""
    seams: tuple[Seam, ...]
    """Whether the windows show, by output; empty where the store is damaged, of which nothing can be said."""
    item: bytes | None
    """`item.json` as it was when the verification began."""


def verify(folder: Place, n_chunks: int = 4, seed: int = 0) -> Verification:
    """Check every shard and file of a finished product, compute chunks again to compare, and look for a grid.

    Parameters
    ----------
    folder
        Of one product, with its `run.json`.
    n_chunks
        How many to compute again, chosen at random by `seed`; all if there are fewer.

    Raises
    ------
    InputError
        If there is no product, or its inputs or model are gone, or the model is another.
    """
    item, run = read(folder / ITEM_NAME), read_run(folder)
    scene, settings = reopen(run.opened_with), Settings(**run.settings)
    model = model_finder(run.model_source)(scene, settings, SerialExecutor())
    made = plan(scene, model, settings, any_gsd=True)
    if made.model.sha256 != run.model_sha256:
        raise InputError(
            f"the weights of {run.model_source!r} are not those the product was made with "
            f"(sha256 {made.model.sha256[:12]}… instead of {run.model_sha256[:12]}…): put those back to verify it"
        )
    if (made.lattice.height, made.lattice.width, made.lattice.y.chunk_px) != (*run.shape_px, run.chunk_px):
        raise InputError(
            f"the scene of {folder} has another grid than when the product was made: put its files back to verify it"
        )
    metadata: tuple[str, ...] = ()
    if made.run == run.fingerprint and software() == run.software:  # others would write others
        metadata = damaged_metadata(folder, made.outputs, made.geobox, made.lattice.y.chunk_px)
    chosen: list[Chunk] = []
    if not metadata:  # or else nothing can be said of pixels until they are mended
        chosen = sorted(random.Random(seed).sample(made.chunks, min(n_chunks, len(made.chunks))))
    torn = () if metadata else tuple(_torn(made, folder, run.fingerprint))
    return Verification(
        folder,
        len(made.chunks),
        tuple(chosen),
        differing=tuple((chunk, name) for chunk in chosen for name in _differing(made, folder, chunk)),
        torn=torn,
        damaged=(*damaged_files(folder), *_damaged_fingerprint(folder, run.fingerprint), *metadata),
        changed_inputs=_changed_inputs(run, made),
        seams=() if metadata or torn else seams(folder, seed),
        item=item,
    )


def withdraw(found: Verification) -> None:
    """Take back that a product is finished, as far as it is damaged, so that `write` with `resume` mends it.

    Its item is removed: a product that is known to be damaged must not pass for a whole one. Nothing happens to one
    that is as it was written, whatever was found by computing chunks again.

    Raises
    ------
    RunError
        If the folder cannot be written, a run is at work on it, or the product was made anew meanwhile.
    """
    if not found.torn and not found.damaged:
        return
    with claimed(found.folder), disk_errors(found.folder):
        if read(found.folder / ITEM_NAME) != found.item:
            raise RunError(f"{found.folder} was made anew while it was verified: verify it again")
        remove(found.folder / ITEM_NAME)
        for chunk in {chunk for chunk, _ in found.torn}:
            Ledger(found.folder).unmark(chunk)


def _torn(made: Plan, folder: Place, fingerprint: str) -> Iterator[tuple[Chunk, str]]:
    records = Ledger(folder, fingerprint).done()
    for chunk in made.chunks:
        written = records[chunk].sha256 if chunk in records else {}
        yield from ((chunk, name) for name in torn_job(made, folder, chunk, written))


def _damaged_fingerprint(folder: Place, fingerprint: str) -> tuple[str, ...]:
    standing = Ledger(folder).fingerprint() or {}
    return () if fingerprint_digest(standing) == fingerprint else (f"{LEDGER_NAME}/{FINGERPRINT_NAME}",)


def _changed_inputs(run: Run, made: Plan) -> tuple[str, ...]:
    then = {source.href: source.model_dump() for source in run.sources}
    return tuple(s.href for s in made.scene.sources if s.href in then and then[s.href] != asdict(s))


def _differing(made: Plan, folder: Place, chunk: Chunk) -> list[str]:
    partials = {source: run_chunk(made, source) for source in made.lattice.waits_for(chunk)}
    core = partials[chunk].core if chunk in partials else {}

    def strip(source: Chunk, head: str, area: Area) -> Array:
        return partials[source].strips[head, area]

    whole = finish_chunk(made, chunk, core, strip)
    return [
        output.name
        for output in made.outputs
        if not _same(stored_chunk(made, folder, chunk, output), whole[output.name])
    ]


def _same(stored: NDArray[Any], computed: NDArray[Any]) -> bool:
    return (
        stored.dtype == computed.dtype
        and stored.shape == computed.shape
        and stored.tobytes() == computed.tobytes()
    )
