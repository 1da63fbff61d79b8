"""What workers do for a stored product. Everything a job leaves is in the product's folder.

A job that finds its result there already, because a worker died between writing and answering, does nothing.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rsmtl.engine.kernel import Array, Partial, finish_chunk, run_chunk
from rsmtl.engine.plan import Plan
from rsmtl.errors import RunError
from rsmtl.lattice import Area, Chunk
from rsmtl.store.ledger import ChunkRecord, Ledger
from rsmtl.store.zarr import write_shard

STAGES = ("read", "model", "blend", "finalise")


@dataclass(frozen=True)
class Receipt:
    """What a job answers: small, whatever it did."""

    windows_run: int = 0
    """By this very job."""
    finished: bool = False
    """Whether the chunk's shards stand."""


def run_job(plan: Plan, folder: Path, chunk: Chunk) -> Receipt:
    """Run a chunk's windows, and finish the chunk at once if the chunks that reach into it have been run.

    What others wait for goes to the ledger in any case; the rest only if the chunk cannot be finished yet.
    """
    ledger = Ledger(folder, plan.run)
    if ledger.has_partial(chunk):
        return Receipt(finished=ledger.is_done(chunk))
    partial = run_chunk(plan, chunk)
    complete = all(ledger.has_partial(source) for source in plan.lattice.waits_for(chunk) - {chunk})
    ledger.write_partial(chunk, _packed(partial, only_after=complete))
    if complete:
        _finish(plan, folder, chunk, partial)
    return Receipt(partial.n_run, finished=complete)


def finish_job(plan: Plan, folder: Path, chunk: Chunk) -> Receipt:
    """Finish a chunk whose windows have been run before: its sums, like those of its neighbours, are in the ledger."""
    if not plan.lattice.owns_windows(chunk):
        _finish(plan, folder, chunk, Partial({}, {}, 0, 0, {}))
        return Receipt(finished=True)
    has_core = ("core", "core") in plan.lattice.areas(chunk)
    outputs = [output.name for output in plan.outputs] if has_core else []
    found, windows_run = _sums(plan, folder, chunk, [*map(_core_name, outputs), "counts", "seconds"])
    n_run, n_skipped = (int(count) for count in found["counts"])
    seconds = dict(zip(STAGES, found["seconds"].tolist(), strict=True))
    core = {name: found[_core_name(name)] for name in outputs}
    _finish(plan, folder, chunk, Partial(core, {}, n_run, n_skipped, seconds))
    return Receipt(windows_run, finished=True)


def _finish(plan: Plan, folder: Path, chunk: Chunk, own: Partial) -> None:
    """Add the strips of the chunks above and to the left, write the chunk's shards, and say so in the ledger."""
    start = time.perf_counter()

    def strip(source: Chunk, head: str, area: Area) -> Array:
        if source == chunk and (head, area) in own.strips:
            return own.strips[head, area]
        name = _strip_name(head, area)
        return _sums(plan, folder, source, [name])[0][name]

    ledger = Ledger(folder, plan.run)
    whole = finish_chunk(plan, chunk, own.core, strip)
    ledger.check_current()
    row, col = chunk[0] * plan.lattice.y.chunk_px, chunk[1] * plan.lattice.x.chunk_px
    checksums = {
        output.name: write_shard(
            folder, output, int(row * output.scale), int(col * output.scale), whole[output.name]
        )
        for output in plan.outputs
    }
    seconds = {**own.seconds, "finish": time.perf_counter() - start}
    ledger.mark_done(chunk, ChunkRecord(own.n_run, own.n_skipped, seconds, checksums))


def _packed(partial: Partial, only_after: bool) -> dict[str, Array]:
    """What goes to the ledger: the border past the chunk's end, and unless `only_after` all the rest."""
    strips = {
        _strip_name(head, area): sums
        for (head, area), sums in partial.strips.items()
        if "after" in area or not only_after
    }
    if only_after:
        return strips
    return {
        **{_core_name(name): array for name, array in partial.core.items()},
        **strips,
        "counts": np.array([partial.n_run, partial.n_skipped]),
        "seconds": np.array([partial.seconds.get(stage, 0.0) for stage in STAGES]),
    }


def _core_name(output: str) -> str:
    return f"core/{output}"


def _strip_name(head: str, area: Area) -> str:
    return f"{head}/{area[0]}-{area[1]}"


def _sums(plan: Plan, folder: Path, chunk: Chunk, names: list[str]) -> tuple[dict[str, Array], int]:
    """Read a chunk's sums, and say how many windows that took: none, unless their file is torn or incomplete.

    A power cut tears a file; a worker that dies between the sums for its neighbours and its own shards leaves the
    former alone. The chunk's windows are then run again.
    """
    ledger = Ledger(folder, plan.run)
    found = ledger.read_partial(chunk, names)
    if found is not None:
        return found, 0
    partial = run_chunk(plan, chunk)
    ledger.write_partial(chunk, _packed(partial, only_after=False))
    found = ledger.read_partial(chunk, names)
    if found is None:
        raise RunError(
            f"the sums of chunk {chunk} in {folder} vanish as soon as they are written: look at the disk"
        )
    return found, partial.n_run
