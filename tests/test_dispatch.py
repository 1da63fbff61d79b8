"""Executors run jobs where they say, and what goes wrong is one sentence."""

import os

import pytest
from distributed import Client, LocalCluster

from rsmtl.dispatch import ClusterExecutor, cluster_at, local_cluster, threads
from rsmtl.errors import InputError, SceneError


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


def test_a_cluster_that_stands_is_used_and_left_standing() -> None:
    with LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as cluster:
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
        LocalCluster(n_workers=0, dashboard_address=None) as cluster,
        pytest.raises(InputError, match="has no workers"),
        cluster_at(cluster.scheduler_address),
    ):
        pass
