"""The loop that hands out a run's jobs: it keeps the machines busy and the waiting room short."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from queue import Empty, SimpleQueue
from typing import Literal

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
SETS_PER_S = 100.0
"""Sets of jobs that are handed out at most; a scheduler has little to spare beyond twice as many."""
MOST_TOGETHER = 64
"""Jobs in a set at most, so that those handed out stay few however little they take."""
N_DROPPERS = 16
"""Threads that remove sums: enough for an object store that takes its time."""

Kind = Literal["run", "finish"]
Job = Callable[[Plan, Place, Chunk], Receipt]
JOBS: Mapping[Kind, Job] = {"run": run_job, "finish": finish_job}


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
    order: Sequence[Chunk] | None = None,
    job_limit_s: float = JOB_LIMIT_S,
    jobs: Mapping[Kind, Job] = JOBS,
) -> Progress:
    """Run and finish every chunk that is not finished yet, and return how it ended.

    A chunk is finished as soon as the chunks whose windows reach into it have been run; their sums are dropped
    as soon as nothing waits for them. What is kept here is two small sets of chunks, never a pixel.

    Parameters
    ----------
    order
        Order in which chunks are run; see `even_order`, which it is unless said. The product does not depend on it.
    job_limit_s
        A job that runs for longer hangs, and is given up with its worker.
    jobs
        What runs and what finishes a chunk.

    Raises
    ------
    RunError
        If a job hangs, or has failed.
    """
    ledger = Ledger(folder, plan.run)
    with _dropping(ledger) as drop:
        state = _State(plan, ledger, order or even_order(plan), drop)
        sets = _Sets(executor, job_limit_s)
        shared = executor.share(plan)
        windows_run = 0
        tell_begun(plan, state.progress(windows_run).chunks_done)
        on_progress(state.progress(windows_run))
        try:
            while state.jobs or sets.pending:
                while state.jobs and sets.has_room:
                    kind, chunks = state.take(sets.size(len(state.jobs)))
                    sets.hand_out(jobs[kind], shared, folder, kind, chunks)
                kind, chunks, receipts = sets.next_done()
                state.give_back(kind, chunks[len(receipts) :])
                for chunk, receipt in zip(chunks, receipts, strict=False):
                    tell_done(plan, chunk, receipt)
                    windows_run += receipt.windows_run
                    if receipt.finished:
                        state.has_finished(chunk)
                    if kind == "run":
                        state.has_run(chunk)
                    on_progress(state.progress(windows_run))
        finally:
            sets.cancel()
    return state.progress(windows_run)


def even_order(plan: Plan) -> list[Chunk]:
    """Return the order in which chunks are run best: diagonal by diagonal, those with fewer windows at the end.

    Chunks of a diagonal do not wait for one another, and most can be finished by the job that ran them. Those of the
    last row and column are smaller, and fill the time until the last of the workers is done.
    """
    rows, cols = plan.lattice.y, plan.lattice.x

    def rank(chunk: Chunk) -> tuple[int, int, Chunk]:
        n_windows = len(rows.windows_of(chunk[0])) * len(cols.windows_of(chunk[1]))
        return -n_windows, sum(chunk), chunk

    return sorted(plan.chunks, key=rank)


@dataclass(frozen=True)
class _Together:
    """Jobs of one kind as one: those that take next to no time take longer to be handed out than to be done."""

    job: Job
    longest_s: float

    @property
    def __name__(self) -> str:
        """What the dashboard calls it."""
        return self.job.__name__

    def __call__(self, plan: Plan, folder: Place, chunks: Sequence[Chunk]) -> list[Receipt]:
        """Return the receipts of as many chunks as the time is enough for, of the first in any case."""
        latest_s, receipts = time.monotonic() + self.longest_s, []
        for chunk in chunks:
            receipts.append(self.job(plan, folder, chunk))
            if time.monotonic() > latest_s:
                break
        return receipts


class _Sets:
    """Sets of jobs that are with the executor; as many jobs in each as keep the scheduler from being the limit."""

    def __init__(self, executor: Executor, job_limit_s: float) -> None:
        self._executor, self._job_limit_s = executor, job_limit_s
        self._longest_s = executor.n_slots / SETS_PER_S
        self._size = 1
        self._done: SimpleQueue[Future[list[Receipt]]] = SimpleQueue()
        self.pending: dict[Future[list[Receipt]], tuple[Kind, list[Chunk]]] = {}

    @property
    def has_room(self) -> bool:
        """Whether another set may be handed out."""
        return len(self.pending) < AHEAD * self._executor.n_slots

    def size(self, n_jobs: int) -> int:
        """How many of the jobs that are left make the next set; towards the end they are shared among all slots."""
        return min(self._size, ceil(n_jobs / (AHEAD * self._executor.n_slots)))

    def hand_out(self, job: Job, shared: object, folder: Place, kind: Kind, chunks: list[Chunk]) -> None:
        """Start jobs of one kind."""
        future = self._executor.submit(_Together(job, self._longest_s), shared, folder, chunks)
        self.pending[future] = kind, chunks
        future.add_done_callback(self._done.put)

    def next_done(self) -> tuple[Kind, list[Chunk], list[Receipt]]:
        """Wait for a set, and return it with the receipts of those of its jobs that it had the time for.

        Raises
        ------
        RunError
            If one hangs, or has failed.
        """
        while True:
            try:
                future = self._done.get(timeout=min(LOOK_S, self._job_limit_s))
            except Empty:
                self._check_time()
                continue
            kind, chunks = self.pending.pop(future)
            receipts = future.result()
            self._adapt(receipts)
            return kind, chunks, receipts

    def cancel(self) -> None:
        """Take back what has not begun."""
        for future in self.pending:
            future.cancel()

    def _adapt(self, receipts: Sequence[Receipt]) -> None:
        """Choose the size of sets by the pace of the last one; one is twice as large as another at most."""
        spent_s = sum(sum(receipt.span.seconds.values()) for receipt in receipts if receipt.span)
        fitting = int(self._longest_s * len(receipts) / max(spent_s, 1e-9))
        self._size = max(1, min(fitting, 2 * len(receipts), MOST_TOGETHER))

    def _check_time(self) -> None:
        late = self._executor.overdue(self.pending, self._job_limit_s + self._longest_s)
        if late:
            chunks = self.pending[late[0]][1]
            which = (
                f"chunk {chunks[0]}"
                if len(chunks) == 1
                else f"one of {len(chunks)} chunks from {chunks[0]} on"
            )
            where = self._executor.abandon(late)
            raise RunError(
                f"{which} was still being worked on after {self._job_limit_s:g} s {where}: a file or its server may "
                "hang; look at them, or allow more time, and finish with --resume"
            )


@contextmanager
def _dropping(ledger: Ledger) -> Iterator[Callable[[Chunk], None]]:
    """Give what removes a chunk's sums beside the loop, and see that all of it is done at the end of the block."""
    dropped: deque[Future[None]] = deque()
    pool = ThreadPoolExecutor(N_DROPPERS, "rsmtl-drop")

    def drop(chunk: Chunk) -> None:
        while dropped and dropped[0].done():
            dropped.popleft().result()
        dropped.append(pool.submit(ledger.drop_partial, chunk))

    try:
        yield drop
        for one in dropped:
            one.result()
    finally:
        pool.shutdown(cancel_futures=True)


class _State:
    """Which chunks have been run and finished, and which jobs that makes possible."""

    def __init__(
        self, plan: Plan, ledger: Ledger, order: Sequence[Chunk], drop: Callable[[Chunk], None]
    ) -> None:
        self._plan, self._lattice, self._drop = plan, plan.lattice, drop
        self._finished = set(ledger.done())
        self._run = ledger.partials() & set(order)
        self._asked: set[Chunk] = set()
        self._px_done = sum(self._area(chunk) for chunk in self._finished)
        self.jobs: deque[tuple[Kind, Chunk]] = deque()
        for chunk in order:
            if self._is_needed(chunk) and chunk not in self._run and self._lattice.owns_windows(chunk):
                self.jobs.append(("run", chunk))
        for chunk in reversed(order):
            self._ask_to_finish(chunk)
        for chunk in list(self._run):
            self._drop_if_unneeded(chunk)

    def take(self, n: int) -> tuple[Kind, list[Chunk]]:
        """Return the next jobs, `n` at most, all of one kind."""
        kind, chunk = self.jobs.popleft()
        chunks = [chunk]
        while self.jobs and len(chunks) < n and self.jobs[0][0] == kind:
            chunks.append(self.jobs.popleft()[1])
        return kind, chunks

    def give_back(self, kind: Kind, chunks: Sequence[Chunk]) -> None:
        """Take back jobs that were not done; they are the next."""
        self.jobs.extendleft((kind, chunk) for chunk in reversed(chunks))

    def has_run(self, chunk: Chunk) -> None:
        """Note that a chunk's sums stand, and ask for what this makes possible."""
        self._run.add(chunk)
        for other in sorted(self._lattice.awaited_by(chunk), reverse=True):
            self._ask_to_finish(other)

    def has_finished(self, chunk: Chunk) -> None:
        """Note that a chunk's shards stand, and drop the sums that nothing waits for any more."""
        if chunk not in self._finished:  # one whose sums were torn is finished a second time
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
            self._drop(chunk)

    def _area(self, chunk: Chunk) -> int:
        return self._lattice.y.chunk_span(chunk[0]).size * self._lattice.x.chunk_span(chunk[1]).size
