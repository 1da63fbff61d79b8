"""Workers that are forked from one server are like those that are spawned, and end as those do."""

import ctypes
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dask
import numpy as np
import psutil
import pytest
import torch
from rasterio.drivers import raster_driver_extensions

from rsmtl import fork_server
from rsmtl.dispatch import ClusterExecutor, local_cluster
from rsmtl.dispatch.forked import forked_workers, spawned_workers

pytestmark = pytest.mark.cluster

METHOD = "distributed.worker.multiprocessing-method"


def _server(_: object) -> int:
    return os.getppid()


def _server_and_worker() -> tuple[int, int]:
    return os.getppid(), os.getpid()


def _environment(_: object) -> dict[str, str]:
    return dict(os.environ)


def _threads_of_torch(_: object) -> tuple[int, int]:
    """How many there are to be, and how many processor times a pass takes beyond the calling thread's."""
    before = len(list(Path("/proc/self/task").iterdir()))
    torch.nn.functional.conv2d(torch.ones(1, 8, 256, 256), torch.ones(8, 8, 3, 3))
    return torch.get_num_threads(), len(list(Path("/proc/self/task").iterdir())) - before


def _drivers(_: object) -> set[str]:
    return set(raster_driver_extensions().values())


def _chance(_: object) -> tuple[float, float]:
    return random.random(), np.random.random()  # noqa: NPY002


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterExecutor]:
    with local_cluster(2) as executor:
        yield executor


def test_workers_of_all_clusters_have_one_server_that_runs_one_thread(cluster: ClusterExecutor) -> None:
    (pid,) = set(cluster.client.run(_server, None).values())
    server = psutil.Process(pid)
    assert server.ppid() == os.getpid()
    with local_cluster(1) as another:
        assert another.submit(_server, None).result() == pid
    assert server.num_threads() == 1
    server.send_signal(signal.SIGINT)  # as a terminal does
    assert cluster.submit(_server, None).result() == pid


def test_workers_do_not_share_their_chance(cluster: ClusterExecutor) -> None:
    one, other = cluster.client.run(_chance, None).values()
    assert one[0] != other[0]
    assert one[1] != other[1]


def test_workers_have_the_environment_of_the_time_when_they_are_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert fork_server.start()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "new")
    monkeypatch.setenv("GDAL_SKIP", "PNG")  # read when GDAL's drivers are registered
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.delenv("HOME")
    with local_cluster(1) as executor:
        expected = dict(os.environ)  # with what Dask has set for all workers
        found = executor.submit(_environment, None).result()
        assert found == expected
        assert executor.submit(_threads_of_torch, None).result()[0] == 2
        assert "PNG" not in executor.submit(_drivers, None).result()


def test_a_worker_has_one_thread_of_torch(cluster: ClusterExecutor) -> None:
    assert cluster.submit(_threads_of_torch, None).result() == (1, 0)
    assert "PNG" in cluster.submit(_drivers, None).result()


def test_workers_are_started_again_when_they_die_or_the_server_does() -> None:
    with local_cluster(1) as executor:
        server, first = executor.submit(_server_and_worker).result()
        psutil.Process(first).kill()
        server, second = executor.submit(_server_and_worker).result()
        worker = psutil.Process(second)
        psutil.Process(server).kill()
        assert psutil.wait_procs([worker], timeout=60)[1] == []
        another, third = executor.submit(_server_and_worker).result()
        assert another != server
        assert len({first, second, third}) == 3


def hang() -> None:
    """Sleep as an extension can that does not let go of the interpreter: no thread of this process does a thing."""
    ctypes.PyDLL(None).sleep(600)


def test_nothing_outlives_a_client_that_is_killed_and_nothing_is_imported_from_where_it_is(
    tmp_path: Path,
) -> None:
    """Not even workers that hang."""
    (tmp_path / "torch.py").write_text("raise SystemExit('this is not PyTorch')")
    script = tmp_path / "scripts" / "script.py"
    script.parent.mkdir()
    script.write_text(
        "import os\nfrom rsmtl.dispatch import local_cluster\nfrom tests.dispatch.test_forked import hang\n"
        "with local_cluster(2) as cluster:\n"
        "    server, = set(cluster.client.run(os.getppid).values())\n"
        "    workers = cluster.client.run(os.getpid).values()\n"
        "    jobs = [cluster.submit(hang) for _ in workers]\n"
        "    while cluster.client.run_on_scheduler(lambda dask_scheduler: sum(len(one.processing) for one in\n"
        "            dask_scheduler.workers.values())) < 2:\n        pass\n"
        "    print(server, *workers, flush=True)\n    jobs[0].result()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment
    ) as client:
        assert client.stdout is not None
        processes = [psutil.Process(int(pid)) for pid in client.stdout.readline().split()]
        client.kill()
    assert len(processes) == 3
    assert psutil.wait_procs(processes, timeout=20)[1] == []


def test_what_the_environment_says_of_dasks_setting_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dask.config.get(METHOD)
    with forked_workers():
        assert dask.config.get(METHOD) == "forkserver"
        with spawned_workers():
            assert dask.config.get(METHOD) == "spawn"
    monkeypatch.setenv(fork_server.METHOD, "spawn")
    with forked_workers():
        assert dask.config.get(METHOD) == "spawn"
    assert dask.config.get(METHOD) == before


def test_workers_are_spawned_where_the_server_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fork_server.start()
    monkeypatch.setenv("ZARR_ASYNC__CONCURRENCY", "3")
    with local_cluster(1) as executor:
        assert executor.submit(_server, None).result() == os.getpid()
