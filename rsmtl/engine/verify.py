"""`verify`: compare a product's files with their checksums, and a sample of its chunks, computed again, bit by bit."""

import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsmtl.config import Settings
from rsmtl.engine.classical import model_finder
from rsmtl.engine.executor import SerialExecutor
from rsmtl.engine.kernel import Array, finish_chunk, run_chunk
from rsmtl.engine.plan import Plan, plan
from rsmtl.errors import InputError, RsmtlError
from rsmtl.lattice import Area, Chunk
from rsmtl.scene.open import reopen
from rsmtl.store.item import damaged_files
from rsmtl.store.ledger import Ledger
from rsmtl.store.output import Output
from rsmtl.store.provenance import read_run
from rsmtl.store.zarr import read_region


@dataclass(frozen=True)
class Verification:
    """What a verification found."""

    folder: Path
    n_chunks: int
    checked: tuple[Chunk, ...]
    differing: tuple[tuple[Chunk, str], ...]
    """Chunks and outputs whose stored values are not what the model gives, or cannot be read."""
    damaged: tuple[str, ...]
    """Files of the product that are not what its item says: their checksum differs, or they are gone."""
    changed_inputs: tuple[str, ...]
    """Files of the scene whose size, time or etag is not what it was, which explains why chunks differ if they do."""


def verify(folder: Path, n_chunks: int = 4, seed: int = 0) -> Verification:
    """Check the files of a finished product, and compute chunks of it again to compare with its Zarr store bit by bit.

    Parameters
    ----------
    folder
        Of one product, with its `run.json`.
    n_chunks
        How many to check, chosen at random by `seed`; all if there are fewer.

    Raises
    ------
    InputError
        If there is no product, or its inputs or model are gone, or the model is another.
    """
    run = read_run(folder)
    scene, settings = reopen(run.opened_with), Settings(**run.settings)
    made = plan(scene, model_finder(run.model_source)(scene, settings, SerialExecutor()), settings)
    if made.model.sha256 != run.model_sha256:
        raise InputError(
            f"the weights of {run.model_source!r} are not those the product was made with "
            f"(sha256 {made.model.sha256[:12]}… instead of {run.model_sha256[:12]}…): put those back to verify it"
        )
    chosen = sorted(random.Random(seed).sample(made.chunks, min(n_chunks, len(made.chunks))))
    differing = tuple((chunk, name) for chunk in chosen for name in _differing(made, folder, chunk))
    return Verification(
        folder,
        len(made.chunks),
        tuple(chosen),
        differing,
        damaged=damaged_files(folder),
        changed_inputs=_changed_inputs(folder, made),
    )


def _changed_inputs(folder: Path, made: Plan) -> tuple[str, ...]:
    then = {source["href"]: source for source in (Ledger(folder).fingerprint() or {}).get("sources", [])}
    return tuple(s.href for s in made.scene.sources if s.href in then and then[s.href] != asdict(s))


def _differing(made: Plan, folder: Path, chunk: Chunk) -> list[str]:
    partials = {source: run_chunk(made, source) for source in made.lattice.waits_for(chunk)}
    core = partials[chunk].core if chunk in partials else {}

    def strip(source: Chunk, head: str, area: Area) -> Array:
        return partials[source].strips[head, area]

    whole = finish_chunk(made, chunk, core, strip)
    y, x = made.lattice.y.chunk_span(chunk[0]), made.lattice.x.chunk_span(chunk[1])
    return [
        output.name
        for output in made.outputs
        if not _same(
            _stored(folder, output, y.scaled(output.scale).slice, x.scaled(output.scale).slice),
            whole[output.name],
        )
    ]


def _stored(folder: Path, output: Output, y: slice, x: slice) -> NDArray[Any]:
    """What stands in the store; nothing where it cannot be read, which is no error here but a finding."""
    try:
        return read_region(folder, output, y, x)
    except (RsmtlError, OSError, ValueError, RuntimeError):
        return np.empty(0)


def _same(stored: NDArray[Any], computed: NDArray[Any]) -> bool:
    return (
        stored.dtype == computed.dtype
        and stored.shape == computed.shape
        and stored.tobytes() == computed.tobytes()
    )
