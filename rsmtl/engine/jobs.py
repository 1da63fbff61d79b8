"""What workers do for a stored product. Everything a job leaves is in the product's folder.

A job that finds its result there already, because a worker died between writing and answering, does nothing.
"""

import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from rsmtl.engine.kernel import Array, Partial, finish_chunk, run_chunk
from rsmtl.engine.plan import Plan
from rsmtl.errors import RunError
from rsmtl.lattice import Area, Chunk
from rsmtl.scene.sources import check_unchanged
from rsmtl.store.ledger import ChunkRecord, Ledger, Span
from rsmtl.store.place import Place
from rsmtl.store.zarr import write_shard

STAGES = ("read", "model", "blend", "finalise")
_SPAN = ("worker", "began_s", "seconds")


@dataclass(frozen=True)
class Receipt:
    """What a job answers: small, whatever it did."""

    windows_run: int = 0
    """By this very job."""
    finished: bool = False
    """Whether the chunk's shards stand."""
    px: int = 0
    """Reference pixels of the chunk, if this very job finished it."""
    written_bytes: int = 0
    """Of its shards, before compression."""
    span: Span | None = None
    """Who did it when, and where the time went; None if nothing was left to do."""


class _Clock:
    """Begins a span when it is made."""

    def __init__(self) -> None:
        self._began_s, self._start = time.time(), time.perf_counter()

    def span(self, seconds: Mapping[str, float], rest: str = "") -> Span:
        """Return what was done since; the time that no stage accounts for goes to `rest`, if named."""
        stages = dict(seconds)
        if rest:
            stages[rest] = time.perf_counter() - self._start - sum(stages.values())
        return Span(f"{socket.gethostname()}:{threading.get_native_id()}", self._began_s, stages)


def run_job(plan: Plan, folder: Place, chunk: Chunk) -> Receipt:
    """Run a chunk's windows, and finish the chunk at once if the chunks that reach into it have been run.

    What others wait for goes to the ledger in any case; the rest only if the chunk cannot be finished yet.
    """
    clock, ledger = _Clock(), Ledger(folder, plan.run)
    if ledger.has_partial(chunk) or all(ledger.is_done(other) for other in plan.lattice.awaited_by(chunk)):
        return Receipt(finished=ledger.is_done(chunk))
    partial = _run(plan, chunk)
    complete = all(ledger.has_partial(source) for source in plan.lattice.waits_for(chunk) - {chunk})
    ledger.write_partial(chunk, _packed(partial, None if complete else clock.span(partial.seconds)))
    if complete:
        return _finish(plan, folder, chunk, partial, clock)
    return Receipt(partial.n_run, span=clock.span(partial.seconds, "borders"))


def finish_job(plan: Plan, folder: Place, chunk: Chunk) -> Receipt:
    """Finish a chunk whose windows have been run before: its sums, like those of its neighbours, are in the ledger."""
    clock = _Clock()
    if Ledger(folder, plan.run).is_done(chunk):
        return Receipt(finished=True)
    if not plan.lattice.owns_windows(chunk):
        return _finish(plan, folder, chunk, Partial({}, {}, 0, 0, {}), clock)
    has_core = ("core", "core") in plan.lattice.areas(chunk)
    outputs = [output.name for output in plan.outputs] if has_core else []
    found, windows_run = _sums(plan, folder, chunk, [*map(_core_name, outputs), *_SPAN, "counts"])
    n_run, n_skipped = (int(count) for count in found["counts"])
    core = {name: found[_core_name(name)] for name in outputs}
    receipt = _finish(plan, folder, chunk, Partial(core, {}, n_run, n_skipped, {}), clock, _unpacked(found))
    return replace(receipt, windows_run=windows_run)


def _run(plan: Plan, chunk: Chunk) -> Partial:
    """Run a chunk's windows; nothing is kept of what came of an input that changed meanwhile."""
    partial = run_chunk(plan, chunk)
    check_unchanged(plan.scene.sources)
    return partial


def _finish(plan: Plan, folder: Place, chunk: Chunk, own: Partial, clock: _Clock, *before: Span) -> Receipt:
    """Add the strips of the chunks above and to the left, write the chunk's shards, and say so in the ledger.

    Parameters
    ----------
    own
        The chunk's sums, with the time that this very job has spent on them.
    before
        What another job has spent on them.
    """
    others = _strips(plan, folder, chunk, own)

    def strip(source: Chunk, head: str, area: Area) -> Array:
        if source == chunk and (head, area) in own.strips:
            return own.strips[head, area]
        return others[source][_strip_name(head, area)]

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
    span = clock.span(own.seconds, "finish")
    ledger.mark_done(chunk, ChunkRecord(plan.run, own.n_run, own.n_skipped, (*before, span), checksums))
    px = plan.lattice.y.chunk_span(chunk[0]).size * plan.lattice.x.chunk_span(chunk[1]).size
    n_bytes = sum(array.nbytes for array in whole.values())
    return Receipt(own.n_run, finished=True, px=px, written_bytes=n_bytes, span=span)


def _strips(plan: Plan, folder: Place, chunk: Chunk, own: Partial) -> dict[Chunk, dict[str, Array]]:
    """Read what others have to give to a chunk, and it to itself if `own` lacks it: each file once, by chunk."""
    wanted: dict[Chunk, list[str]] = {}
    for area in plan.lattice.own_areas(chunk):
        if area == ("core", "core"):
            continue
        for source, its in plan.lattice.sources(chunk, area):
            heads = [head.name for head in plan.heads]
            missing = [head for head in heads if source != chunk or (head, its) not in own.strips]
            wanted.setdefault(source, []).extend(_strip_name(head, its) for head in missing)
    return {source: _sums(plan, folder, source, names)[0] for source, names in wanted.items() if names}


def _packed(partial: Partial, span: Span | None) -> dict[str, Array]:
    """What goes to the ledger: the border past the chunk's end, and all the rest if the chunk is to be finished later.

    The span is that of the work so far, None if nothing is left to do.
    """
    strips = {
        _strip_name(head, area): sums
        for (head, area), sums in partial.strips.items()
        if "after" in area or span
    }
    if span is None:
        return strips
    return {
        **{_core_name(name): array for name, array in partial.core.items()},
        **strips,
        "counts": np.array([partial.n_run, partial.n_skipped]),
        "worker": np.array(span.worker),
        "began_s": np.array(span.began_s),
        "seconds": np.array([span.seconds.get(stage, 0.0) for stage in STAGES]),
    }


def _unpacked(found: Mapping[str, Array]) -> Span:
    """Return the span that `_packed` was given."""
    seconds = dict(zip(STAGES, found["seconds"].tolist(), strict=True))
    return Span(str(found["worker"]), float(found["began_s"]), seconds)


def _core_name(output: str) -> str:
    return f"core/{output}"


def _strip_name(head: str, area: Area) -> str:
    return f"{head}/{area[0]}-{area[1]}"


def _sums(plan: Plan, folder: Place, chunk: Chunk, names: list[str]) -> tuple[dict[str, Array], int]:
    """Read a chunk's sums, and say how many windows that took: none, unless their file is torn or incomplete.

    A power cut tears a file; a worker that dies between the sums for its neighbours and its own shards leaves the
    former alone. The chunk's windows are then run again.
    """
    ledger = Ledger(folder, plan.run)
    found = ledger.read_partial(chunk, names)
    if found is not None:
        return found, 0
    clock = _Clock()
    partial = _run(plan, chunk)
    ledger.write_partial(chunk, _packed(partial, clock.span(partial.seconds)))
    found = ledger.read_partial(chunk, names)
    if found is None:
        raise RunError(
            f"the sums of chunk {chunk} in {folder} vanish as soon as they are written: look at the disk"
        )
    return found, partial.n_run
