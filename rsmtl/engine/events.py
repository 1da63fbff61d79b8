"""What happens to a scene, for the log. Jobs need not log: whoever hands them out gets a receipt for each."""

import logging

from rsmtl.engine.jobs import Receipt
from rsmtl.engine.plan import Plan
from rsmtl.lattice import Chunk
from rsmtl.logs import tell

_LOG = logging.getLogger(__name__)


def tell_begun(plan: Plan, n_finished: int) -> None:
    """Log that a scene is begun, or taken up where `n_finished` chunks stand already."""
    tell(
        _LOG,
        "scene begun",
        scene=plan.scene.id,
        fingerprint=plan.run,
        n_windows=plan.lattice.n_windows,
        n_chunks=len(plan.chunks),
        n_px=plan.lattice.height * plan.lattice.width,
        chunks_finished=n_finished,
    )


def tell_done(plan: Plan, chunk: Chunk, receipt: Receipt) -> None:
    """Log what a job did for a chunk."""
    span = receipt.span
    tell(
        _LOG,
        "chunk finished" if receipt.finished else "chunk run",
        scene=plan.scene.id,
        chunk=f"{chunk[0]}-{chunk[1]}",
        worker=span.worker if span else "",
        again=span is None,
        windows_run=receipt.windows_run,
        px=receipt.px,
        written_bytes=receipt.written_bytes,
        seconds={stage: round(spent, 4) for stage, spent in span.seconds.items()} if span else {},
    )


def tell_product(scene: str, reused: bool, windows_run: int, seconds: float) -> None:
    """Log that the product of a scene stands, because it was made now or before."""
    what = "scene stood already" if reused else "scene finished"
    tell(_LOG, what, scene=scene, windows_run=windows_run, seconds=round(seconds, 3))
