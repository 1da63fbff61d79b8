"""Executors run jobs where they say, and what goes wrong is one sentence."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future
from pathlib import Path

import dask
import pytest
from distributed import Client, LocalCluster

from rsmtl.dispatch import ClusterExecutor, cluster_at, local_cluster, threads
from rsmtl.errors import InputError, RunError, SceneError


def _add(a: int, b: int) -> int:
    return a + b


def _refuse() -> None:
    raise SceneError("there is no such scene: give another")


def _pid(_: object) -> int:
    return os.getpid()


def test_threads_run_in_this_process() -> None:
    with threads(3) as executor:
        assert executor.n_slots == 3
        assert executor.slot_bytes > 0
        assert executor.submit(_add, executor.share(2), 3).result() == 5
        assert executor.submit(_pid, None).result() == os.getpid()
        with pytest.raises(SceneError, match="give another"):
            executor.submit(_refuse).result()


@pytest.mark.cluster
@pytest.mark.parametrize("words", [["script.py"], ["-m", "script"]])
def test_a_script_without_a_guard_starts_workers(tmp_path: Path, words: list[str]) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from rsmtl.dispatch import local_cluster\nprint('once')\n"
        "with local_cluster(1) as cluster:\n    print(cluster.client.submit(sum, [1, 2]).result())\n"
    )
    found = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=120, check=True, cwd=tmp_path
    )
    assert found.stdout.split() == ["once", "3"]


@pytest.mark.cluster
def test_a_script_may_start_processes_of_its_own_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "from concurrent.futures import ProcessPoolExecutor\nfrom multiprocessing import get_context\n"
        "from rsmtl.dispatch import local_cluster\n\n\ndef double(n):\n    return 2 * n\n\n\n"
        "if __name__ == '__main__':\n    with local_cluster(1), ProcessPoolExecutor(1, get_context('spawn')) as pool:\n"
        "        print(pool.submit(double, 1).result())\n"
    )
    command = [sys.executable, "script.py"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, cwd=tmp_path)
    assert found.stdout.split() == ["2"]


def test_a_cluster_without_workers_is_refused() -> None:
    with (
        LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
        pytest.raises(InputError, match="the cluster has no workers: wait for some"),
    ):
        ClusterExecutor(client)


@pytest.mark.cluster
def test_workers_that_join_later_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rsmtl.dispatch.executors._COUNT_S", 0.0)
    with local_cluster(1) as executor:
        assert executor.n_slots == 1
        executor.client.cluster.scale(2)
        executor.client.wait_for_workers(2, timeout=60)
        assert executor.n_slots == 2


@pytest.mark.cluster
def test_a_local_cluster_runs_in_processes_of_its_own_and_ends_them() -> None:
    with local_cluster(2) as executor:
        assert executor.n_slots == 2
        assert executor.slot_bytes > 2**26
        assert executor.dashboard.startswith("http://127.0.0.1:")
        pid = executor.submit(_pid, executor.share("something")).result()
        assert pid != os.getpid()
        with pytest.raises(SceneError, match="give another"):
            executor.submit(_refuse).result()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.cluster
def test_what_is_shared_is_on_all_workers_before_jobs_come() -> None:
    # or Dask would drop, every 2 s, what no job waits for yet
    off = {"distributed.scheduler.active-memory-manager.start": False}
    with dask.config.set(off), local_cluster(2) as executor:
        shared = executor.share("something")
        assert len(executor.client.who_has(shared)[shared.key]) == 2


@pytest.mark.cluster
def test_a_cluster_that_stands_is_used_and_left_standing() -> None:
    with LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=":0") as cluster:
        with cluster_at(cluster.scheduler_address) as executor:
            assert isinstance(executor, ClusterExecutor)
            assert executor.n_slots == 2
            assert executor.submit(_add, 1, 1).result() == 2
        with Client(cluster) as client:
            assert client.submit(_add, 2, 2).result() == 4


def test_no_scheduler_is_said_in_one_sentence() -> None:
    with (
        pytest.raises(InputError, match=r"no Dask scheduler answers at 'tcp://127\.0\.0\.1:1'"),
        cluster_at("tcp://127.0.0.1:1"),
    ):
        pass


def test_a_scheduler_without_workers_is_said_in_one_sentence() -> None:
    with (
        LocalCluster(n_workers=0, dashboard_address=":0") as cluster,
        pytest.raises(InputError, match="has no workers"),
        cluster_at(cluster.scheduler_address),
    ):
        pass


class _Stays(Exception):
    """Cannot be pickled, like GDAL's errors."""

    def __reduce__(self) -> str:
        raise TypeError("stays here")


def _fail_deep_down() -> None:
    try:
        raise _Stays
    except _Stays as error:
        raise RunError("the file is damaged: give another") from error


def test_an_error_arrives_though_its_cause_cannot_travel(workers: ClusterExecutor) -> None:
    with pytest.raises(RunError, match=r"^the file is damaged: give another$"):
        workers.submit(_fail_deep_down).result()


@pytest.mark.cluster
def test_ctrl_c_does_not_reach_the_workers() -> None:
    with local_cluster(1) as executor:
        pid = executor.submit(_pid, None).result()
        os.kill(pid, signal.SIGINT)
        assert executor.submit(_pid, None).result() == pid


@pytest.mark.cluster
def test_ctrl_c_still_reaches_the_caller() -> None:
    with local_cluster(1), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


_begun, _going_on = threading.Event(), threading.Event()


def _wait() -> bool:
    _begun.set()
    return _going_on.wait(60)


def test_an_error_does_not_wait_for_threads() -> None:
    jobs: list[Future[bool]] = []

    def be_interrupted() -> None:
        with threads(1) as executor:
            jobs.extend((executor.submit(_wait), executor.submit(_wait)))
            assert _begun.wait(60)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        be_interrupted()
    assert not jobs[0].done()
    assert jobs[1].cancelled()
    _going_on.set()
    assert jobs[0].result()


def test_a_scheduler_that_goes_is_said_in_one_sentence() -> None:
    _going_on.clear()
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),  # how long the client looks for it
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster,
        cluster_at(cluster.scheduler_address) as executor,
    ):
        job = executor.submit(_wait)
        cluster.sync(cluster.scheduler.close)
        with pytest.raises(RunError, match=r"^the cluster's scheduler is gone: start it again"):
            job.result(60)
        _going_on.set()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_job_that_ends_workers_is_said_in_one_sentence_inside_the_block() -> None:
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}), local_cluster(1) as executor:
        with pytest.raises(RunError, match=r"^a job ended its worker several times over"):
            executor.submit(_die).result(120)
        assert executor.submit(_add, 1, 2).result(120) == 3
