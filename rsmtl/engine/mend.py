"""Taking up a run: a chunk whose shards are not what was written any more is to be run again."""

from collections.abc import Mapping

from rsmtl.engine.executor import Executor, in_order
from rsmtl.engine.plan import Plan
from rsmtl.engine.stored import stored_chunk
from rsmtl.lattice import Chunk
from rsmtl.store.ledger import Ledger
from rsmtl.store.place import Place
from rsmtl.store.zarr import content_hash


def unmark_torn(plan: Plan, folder: Place, executor: Executor) -> None:
    """Take back that a chunk is finished where what is stored of it has another checksum than the ledger says."""
    ledger = Ledger(folder, plan.run)
    records = ledger.done()
    if not records:
        return
    shared = executor.share(plan)
    jobs = ((shared, folder, chunk, record.sha256) for chunk, record in records.items())
    for chunk, torn in zip(records, in_order(executor, torn_job, jobs), strict=True):
        if torn:
            ledger.unmark(chunk)


def torn_job(plan: Plan, folder: Place, chunk: Chunk, sha256: Mapping[str, str]) -> tuple[str, ...]:
    """Return the outputs of which the stored values of a chunk are not those that were written."""
    return tuple(
        output.name
        for output in plan.outputs
        if sha256.get(output.name) != content_hash(stored_chunk(plan, folder, chunk, output))
    )
