"""The loop that hands out a run's jobs: it keeps the machines busy and the waiting room short."""

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass

from rsmtl.engine.events import tell_begun, tell_done
from rsmtl.engine.executor import AHEAD, Executor
from rsmtl.engine.jobs import Receipt, finish_job, run_job
from rsmtl.engine.plan import Plan
from rsmtl.errors import RunError
from rsmtl.lattice import Chunk
from rsmtl.store.ledger import Ledger
from rsmtl.store.place import Place

JOB_LIMIT_S = 3600.0
"""What no job takes that does not hang, unless the model is very slow."""
LOOK_S = 60.0
"""While no job ends, it is looked so often whether one hangs."""


@dataclass(frozen=True)
class Progress:
    """How far a scene is."""

    chunks_done: int
    n_chunks: int
    px_done: int
    """Reference pixels of finished chunks."""
    n_px: int
    windows_run: int
    """By this call; chunks that stood already ran none."""


def drain(
    plan: Plan,
    folder: Place,
    executor: Executor,
    on_progress: Callable[[Progress], None],
    order: list[Chunk] | None = None,
    job_limit_s: float = JOB_LIMIT_S,
) -> Progress:
    """Run and finish every chunk that is not finished yet, and return how it ended.

    A chunk is finished as soon as the chunks whose windows reach into it have been run; their sums are dropped
    as soon as nothing waits for them. What is kept here is two small sets of chunks, never a pixel.

    Parameters
    ----------
    order
        Order in which chunks are run; diagonal by diagonal unless said, since chunks of a diagonal do not wait for
        one another, and most can be finished by the job that ran them. The product does not depend on it.
    job_limit_s
        A job that runs for longer hangs, and is given up with its worker.

    Raises
    ------
    RunError
        If a job hangs, or has failed.
    """
    state = _State(
        plan, Ledger(folder, plan.run), order or sorted(plan.chunks, key=lambda chunk: (sum(chunk), chunk))
    )
    shared = executor.share(plan)
    pending: dict[Future[Receipt], tuple[str, Chunk]] = {}
    windows_run = 0
    tell_begun(plan, state.progress(windows_run).chunks_done)
    on_progress(state.progress(windows_run))
    try:
        while state.jobs or pending:
            while state.jobs and len(pending) < AHEAD * executor.n_slots:
                kind, chunk = state.jobs.popleft()
                job = run_job if kind == "run" else finish_job
                pending[executor.submit(job, shared, folder, chunk)] = (kind, chunk)
            done = wait(pending, timeout=min(LOOK_S, job_limit_s), return_when=FIRST_COMPLETED).done
            if not done:
                _check_time(pending, executor, job_limit_s)
            for future in done:
                kind, chunk = pending.pop(future)
                receipt = future.result()
                tell_done(plan, chunk, receipt)
                windows_run += receipt.windows_run
                if receipt.finished:
                    state.has_finished(chunk)
                if kind == "run":
                    state.has_run(chunk)
                on_progress(state.progress(windows_run))
    finally:
        for future in pending:
            future.cancel()
    return state.progress(windows_run)


def _check_time(
    pending: Mapping[Future[Receipt], tuple[str, Chunk]], executor: Executor, limit_s: float
) -> None:
    late = executor.overdue(pending, limit_s)
    if late:
        chunk = pending[late[0]][1]
        where = executor.abandon(late)
        raise RunError(
            f"chunk {chunk} was still being worked on after {limit_s:g} s {where}: a file or its server may hang; look "
            "at them, or allow more time, and finish with --resume"
        )


class _State:
    """Which chunks have been run and finished, and which jobs that makes possible."""

    def __init__(self, plan: Plan, ledger: Ledger, order: list[Chunk]) -> None:
        self._plan, self._lattice, self._ledger = plan, plan.lattice, ledger
        self._finished = set(ledger.done())
        self._run = ledger.partials() & set(order)
        self._asked: set[Chunk] = set()
        self._px_done = sum(self._area(chunk) for chunk in self._finished)
        self.jobs: deque[tuple[str, Chunk]] = deque()
        for chunk in order:
            if self._is_needed(chunk) and chunk not in self._run and self._lattice.owns_windows(chunk):
                self.jobs.append(("run", chunk))
        for chunk in reversed(order):
            self._ask_to_finish(chunk)
        for chunk in list(self._run):
            self._drop_if_unneeded(chunk)

    def has_run(self, chunk: Chunk) -> None:
        """Note that a chunk's sums stand, and ask for what this makes possible."""
        self._run.add(chunk)
        for other in sorted(self._lattice.awaited_by(chunk), reverse=True):
            self._ask_to_finish(other)

    def has_finished(self, chunk: Chunk) -> None:
        """Note that a chunk's shards stand, and drop the sums that nothing waits for any more."""
        self._finished.add(chunk)
        self._px_done += self._area(chunk)
        for source in self._lattice.waits_for(chunk):
            self._drop_if_unneeded(source)

    def progress(self, windows_run: int) -> Progress:
        """How far the scene is."""
        n_px = self._lattice.height * self._lattice.width
        return Progress(len(self._finished), len(self._plan.chunks), self._px_done, n_px, windows_run)

    def _is_needed(self, chunk: Chunk) -> bool:
        return not self._lattice.awaited_by(chunk) <= self._finished

    def _ask_to_finish(self, chunk: Chunk) -> None:
        """Finishing comes before running more, so that sums do not pile up."""
        if chunk in self._finished or chunk in self._asked or not self._lattice.waits_for(chunk) <= self._run:
            return
        self._asked.add(chunk)
        self.jobs.appendleft(("finish", chunk))

    def _drop_if_unneeded(self, chunk: Chunk) -> None:
        if not self._is_needed(chunk):
            self._ledger.drop_partial(chunk)

    def _area(self, chunk: Chunk) -> int:
        return self._lattice.y.chunk_span(chunk[0]).size * self._lattice.x.chunk_span(chunk[1]).size
