"""A job that hangs, crashes or eats all memory is a sentence, and its worker works on."""

import ctypes
import os
import signal
import threading
import time
from collections.abc import Iterator

import dask
import pytest
from distributed import LocalCluster

from rsmtl.dispatch import ClusterExecutor, cluster_at, limited, local_cluster, threads
from rsmtl.engine.executor import SerialExecutor
from rsmtl.errors import RunError, SceneError

LIMIT_S = 1.0


def _add(a: int, b: int) -> int:
    return a + b


def _refuse() -> None:
    raise SceneError("there is no such scene: give another")


def _hang() -> None:
    time.sleep(1000)


def _hang_with_the_lock() -> None:
    ctypes.PyDLL(None).sleep(1000)  # Python's lock is kept: the worker cannot answer


def _crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _devour() -> None:
    held = []
    while True:
        held.append(b"x" * 2**24)
        time.sleep(0.01)


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterExecutor]:
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}), local_cluster(1) as executor:
        yield executor


@pytest.mark.cluster
def test_what_a_job_gives_or_raises_passes(cluster: ClusterExecutor) -> None:
    assert limited(cluster, "adding", LIMIT_S, _add, 1, 2) == 3
    with pytest.raises(SceneError, match="give another"):
        limited(cluster, "refusing", LIMIT_S, _refuse)


@pytest.mark.cluster
@pytest.mark.parametrize("hang", [_hang, _hang_with_the_lock])
def test_the_worker_of_a_job_that_hangs_is_restarted(cluster: ClusterExecutor, hang: object) -> None:
    with pytest.raises(
        RunError, match=r"^opening 'x' took longer than 1 s on a worker, which was restarted: "
    ):
        limited(cluster, "opening 'x'", LIMIT_S, hang)  # type: ignore[arg-type]
    assert cluster.submit(_add, 1, 2).result(60) == 3


@pytest.mark.cluster
def test_a_job_that_crashes_its_worker_is_a_sentence(cluster: ClusterExecutor) -> None:
    with pytest.raises(RunError, match=r"^opening 'x' ended its worker several times over, by a crash"):
        limited(cluster, "opening 'x'", 60, _crash)
    assert cluster.submit(_add, 1, 2).result(60) == 3


@pytest.mark.cluster
def test_time_spent_waiting_does_not_count(cluster: ClusterExecutor) -> None:
    before = cluster.submit(time.sleep, 3 * LIMIT_S)
    assert limited(cluster, "adding", LIMIT_S, _add, 1, 2) == 3
    before.result()


@pytest.mark.cluster
@pytest.mark.slow
def test_a_job_that_eats_all_memory_is_a_sentence() -> None:
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(
            n_workers=1, threads_per_worker=1, memory_limit=2**30, dashboard_address=None, silence_logs=50
        ) as standing,
        cluster_at(standing.scheduler_address) as executor,
        pytest.raises(RunError, match="want of memory"),
    ):
        limited(executor, "opening 'x'", 120, _devour)


def test_a_worker_without_a_nanny_is_sent_away() -> None:
    going_on = threading.Event()
    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address=None) as standing,
        cluster_at(standing.scheduler_address) as executor,
    ):
        with pytest.raises(RunError, match="which has no nanny to restart it and was sent away"):
            limited(executor, "waiting", LIMIT_S, _Waiting(going_on))
        assert executor.client.scheduler_info()["workers"] == {}
        going_on.set()


def test_time_for_which_the_machine_was_suspended_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    going_on, wall = threading.Event(), time.time
    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address=None) as standing,
        cluster_at(standing.scheduler_address) as executor,
    ):
        job = executor.submit(_Waiting(going_on))
        with monkeypatch.context() as woken:
            woken.setattr(time, "time", lambda: wall() + 3600)
            assert executor.overdue([job], 60) == []
        while not executor.overdue([job], 0.05):
            time.sleep(0.01)
        going_on.set()
        assert job.result(10)


class _Waiting:
    """Stays in this process, whose worker shares its memory."""

    __name__ = "waiting"

    def __init__(self, event: threading.Event) -> None:
        _EVENTS[id(event)] = event
        self.key = id(event)

    def __call__(self) -> bool:
        return _EVENTS[self.key].wait(100)


_EVENTS: dict[int, threading.Event] = {}


def test_a_thread_that_hangs_is_left_behind_and_replaced() -> None:
    with threads(1) as executor:
        with pytest.raises(RunError, match=r"took longer than 0\.2 s in a thread, which cannot be ended"):
            limited(executor, "opening 'x'", 0.2, _hang)
        assert executor.submit(_add, 1, 2).result(10) == 3
    # the block has ended, though the thread has not


def test_a_thread_that_comes_back_is_not_one_too_many() -> None:
    going_on = threading.Event()
    with threads(1) as executor:
        job = executor.submit(going_on.wait, 60)
        while not executor.overdue([job], 0.05):
            time.sleep(0.01)
        executor.abandon([job])
        executor.abandon([job])
        going_on.set()
        assert job.result(10)
        assert [executor.submit(_add, k, 1).result(10) for k in range(5)] == [1, 2, 3, 4, 5]


def test_a_job_of_this_thread_has_no_limit() -> None:
    assert limited(SerialExecutor(), "adding", 0.0, _add, 1, 2) == 3


@pytest.mark.cluster
def test_our_own_cluster_does_not_give_up_a_worker_that_is_slow_to_start() -> None:
    impatient = {
        "distributed.deploy.lost-worker-timeout": "10ms",
        "distributed.scheduler.allowed-failures": 3,
    }
    with dask.config.set(impatient), local_cluster(1) as executor:
        os.kill(executor.submit(os.getpid).result(), signal.SIGKILL)
        assert executor.submit(_add, 1, 2).result(60) == 3  # by the same nanny, when it has started another
