"""The loop that hands out jobs: in what order, how many at once; what jobs do is tested with `write`."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rsmtl.config import Settings
from rsmtl.engine import drain as module
from rsmtl.engine.drain import drain, even_order
from rsmtl.engine.executor import SerialExecutor
from rsmtl.engine.jobs import Receipt
from rsmtl.engine.plan import Plan, plan
from rsmtl.errors import RunError
from rsmtl.lattice import Chunk
from rsmtl.store.ledger import Ledger, Span
from rsmtl.store.place import Place
from tests import fakes


@pytest.fixture
def made(tmp_path: Path) -> Plan:
    """20×21 chunks of a window each."""
    scene = fakes.make_scene(np.zeros((1, 20 * 12, 21 * 12)))
    found = plan(scene, fakes.identity(), Settings(window=16, overlap=4, chunk=1))
    Ledger(tmp_path).open(found.fingerprint)
    return found


class Counting(SerialExecutor):
    """Notes how many jobs each set has that it is given."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def submit(self, function: Callable[..., Any], *args: Any) -> "Future[Any]":
        self.sizes.append(len(args[-1]))
        return super().submit(function, *args)


def run(made: Plan, folder: Path, seconds: float = 0.0) -> tuple[list[Chunk], list[int]]:
    """Drain with jobs that say they took so long; return chunks as they were run, and the sizes of sets."""
    seen: list[Chunk] = []

    def job(_: Plan, __: Place, chunk: Chunk) -> Receipt:
        seen.append(chunk)
        return Receipt(1, finished=True, span=Span("here", 0.0, {"model": seconds}))

    executor = Counting()
    ended = drain(made, folder, executor, lambda _: None, jobs={"run": job, "finish": job})
    assert ended.chunks_done == ended.windows_run == len(made.chunks) == 420
    assert sorted(seen) == list(made.chunks)
    return seen, executor.sizes


def test_jobs_that_take_next_to_no_time_are_handed_out_together(
    made: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SETS_PER_S", 1e-3)  # or a pause of the machine would end a set
    seen, sizes = run(made, tmp_path)
    assert seen == even_order(made)
    assert sizes[:8] == [1, 1, 2, 2, 4, 4, 8, 8]  # two are with the executor at a time
    assert max(sizes) == module.MOST_TOGETHER
    assert sizes[-4:] == [6, 3, 2, 1]  # towards the end those that are left are shared


def test_jobs_that_take_their_time_are_handed_out_one_by_one(made: Plan, tmp_path: Path) -> None:
    assert set(run(made, tmp_path, seconds=1.0)[1]) == {1}


def test_what_a_set_has_no_time_for_is_handed_out_again(
    made: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks: Iterator[int] = count()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    sizes = run(made, tmp_path)[1]
    assert (len(sizes), max(sizes)) == (420, 2)


def test_the_smaller_chunks_of_the_last_row_and_column_are_run_last() -> None:
    scene = fakes.make_scene(np.zeros((1, 100, 124)))  # 8×10 windows in chunks of 3×3
    made = plan(scene, fakes.identity(), Settings(window=16, overlap=4, chunk=3))
    order = even_order(made)
    assert sorted(order) == list(made.chunks)
    n_windows = [len(made.lattice.windows_of(chunk)) for chunk in order]
    assert n_windows == sorted(n_windows, reverse=True)
    assert order[:3] == [(0, 0), (0, 1), (1, 0)]


class Hanging(SerialExecutor):
    """Never gives an answer, once it has been given `n` sets."""

    def __init__(self, n: int) -> None:
        self.n_left = n

    def submit(self, function: Callable[..., Any], *args: Any) -> "Future[Any]":
        self.n_left -= 1
        return super().submit(function, *args) if self.n_left >= 0 else Future()

    def overdue(self, futures: Any, limit_s: float) -> list["Future[Any]"]:
        return [future for future in futures if not future.done()]


@pytest.mark.parametrize(
    ("n", "which"), [(0, r"chunk \(0, 0\) was"), (3, r"one of 2 chunks from \(1, 1\) on was")]
)
def test_it_is_said_which_chunk_hangs(made: Plan, tmp_path: Path, n: int, which: str) -> None:
    def job(*_: object) -> Receipt:
        return Receipt(finished=True)

    with pytest.raises(RunError, match=rf"^{which} still being worked on after 0\.01 s in this thread: "):
        drain(made, tmp_path, Hanging(n), lambda _: None, job_limit_s=0.01, jobs={"run": job, "finish": job})


def test_sums_that_cannot_be_removed_end_the_run(made: Plan, tmp_path: Path) -> None:
    (tmp_path / "ledger" / "partials" / made.run[:16] / "0-0.npz").mkdir(
        parents=True
    )  # a folder in a file's place

    def job(*_: object) -> Receipt:
        return Receipt(finished=True)

    with pytest.raises(RunError, match="cannot write"):
        drain(made, tmp_path, SerialExecutor(), lambda _: None, jobs={"run": job, "finish": job})
