"""What workers do for a stored product. Everything a job leaves is in the product's folder.

A job that finds its result there already, because a worker died between writing and answering, does nothing.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rsmtl.errors import RunError
from rsmtl.lattice import Area, Chunk
from rsmtl.predict.kernel import Array, Partial, finish_chunk, run_chunk
from rsmtl.predict.plan import Plan
from rsmtl.store.ledger import ChunkRecord, Ledger
from rsmtl.store.zarr import write_shard

STAGES = ("read", "model", "blend", "finalise")


@dataclass(frozen=True)
class Receipt:
    """What a job answers: small, whatever it did."""

    n_run: int = 0
    """Windows run by this very job."""
    seconds: dict[str, float] = field(default_factory=dict)


def run_job(plan: Plan, folder: Path, chunk: Chunk) -> Receipt:
    """Run a chunk's windows and leave their sums in the ledger."""
    ledger = Ledger(folder)
    if ledger.has_partial(chunk):
        return Receipt()
    partial = run_chunk(plan, chunk)
    start = time.perf_counter()
    ledger.write_partial(chunk, _packed(partial))
    return Receipt(partial.n_run, {**partial.seconds, "write": time.perf_counter() - start})


def finish_job(plan: Plan, folder: Path, chunk: Chunk) -> Receipt:
    """Add the strips of the chunks above and to the left, write the chunk's shards, and say so in the ledger."""
    ledger, start = Ledger(folder), time.perf_counter()
    core, counts, seconds = _own_part(plan, folder, chunk)

    def strip(source: Chunk, head: str, area: Area) -> Array:
        name = _strip_name(head, area)
        return _sums(plan, folder, source, [name])[name]

    whole = finish_chunk(plan, chunk, core, strip)
    row, col = chunk[0] * plan.lattice.y.chunk_px, chunk[1] * plan.lattice.x.chunk_px
    checksums = {
        output.name: write_shard(
            folder, output, int(row * output.scale), int(col * output.scale), whole[output.name]
        )
        for output in plan.outputs
    }
    seconds["finish"] = time.perf_counter() - start
    ledger.mark_done(chunk, ChunkRecord(counts[0], counts[1], seconds, checksums))
    return Receipt(0, {"finish": seconds["finish"]})


def _packed(partial: Partial) -> dict[str, Array]:
    arrays = {f"core/{name}": array for name, array in partial.core.items()}
    arrays |= {_strip_name(head, area): sums for (head, area), sums in partial.strips.items()}
    arrays["counts"] = np.array([partial.n_run, partial.n_skipped])
    arrays["seconds"] = np.array([partial.seconds.get(stage, 0.0) for stage in STAGES])
    return arrays


def _strip_name(head: str, area: Area) -> str:
    return f"{head}/{area[0]}-{area[1]}"


def _own_part(
    plan: Plan, folder: Path, chunk: Chunk
) -> tuple[dict[str, Array], tuple[int, int], dict[str, float]]:
    """The chunk's finished core, its counts of windows run and skipped, and its seconds by stage."""
    if not plan.lattice.owns_windows(chunk):
        return {}, (0, 0), {}
    has_core = ("core", "core") in plan.lattice.areas(chunk)
    outputs = [output.name for output in plan.outputs] if has_core else []
    found = _sums(plan, folder, chunk, [*(f"core/{name}" for name in outputs), "counts", "seconds"])
    n_run, n_skipped = (int(count) for count in found["counts"])
    seconds = dict(zip(STAGES, found["seconds"].tolist(), strict=True))
    return {name: found[f"core/{name}"] for name in outputs}, (n_run, n_skipped), seconds


def _sums(plan: Plan, folder: Path, chunk: Chunk, names: list[str]) -> dict[str, Array]:
    """Read a chunk's sums; run its windows again if a power cut has torn their file."""
    ledger = Ledger(folder)
    found = ledger.read_partial(chunk, names)
    if found is None:
        ledger.drop_partial(chunk)
        run_job(plan, folder, chunk)
        found = ledger.read_partial(chunk, names)
    if found is None:
        raise RunError(
            f"the sums of chunk {chunk} in {folder} vanish as soon as they are written; look at the disk"
        )
    return found
