"""One machine: the same product as threads make, nobody let in without the certificate, nothing left."""

import os
import signal
from pathlib import Path

import psutil
import pytest
import torch
from distributed import Client

from cluster.local import machine_cluster
from rsmtl.dispatch import ClusterExecutor, cluster_at, threads_of
from rsmtl.errors import InputError, PlanError
from tests.cluster.conftest import Material, Recipe, workers_on


def test_a_product_on_processes_of_this_machine(recipe: Recipe, material: Material, tmp_path: Path) -> None:
    standing = recipe("local", "--workers", "2", "--memory", "2GiB", "--offer", "inference")
    material.made_on(standing, tmp_path / "out")
    with standing.client(2) as client:
        for worker in workers_on(client):
            assert worker["nthreads"] == 1
            assert worker["memory_limit"] == 2 * 2**30
            assert worker["resources"] == {"inference": 1}
            assert worker["omp"] == "1"
            assert worker["listens_at"] == {"127.0.0.1"}
            scratch = Path(worker["local_directory"])
            assert "rsmtl-workers-" in str(scratch)
    assert standing.folder.stat().st_mode & 0o077 == 0
    with pytest.raises(InputError, match="has no certificates"), cluster_at(standing.address):
        pass
    processes = standing.processes()
    assert len({process.pid for process in processes}) >= 3
    assert standing.ends(signal.SIGINT, processes) == 0
    assert not standing.folder.exists()
    assert not scratch.exists()
    said = (tmp_path / "said").read_text().splitlines()
    assert said[0] == "starting 2 worker(s); Ctrl-C ends them"
    assert said[-1] == "ending"
    assert not any("Traceback" in line for line in said)


def test_more_workers_than_gpus_are_refused(tmp_path: Path) -> None:
    n_gpus = torch.cuda.device_count()
    with pytest.raises(PlanError, match=f"{n_gpus + 1} worker"):
        machine_cluster(n_gpus + 1, tmp_path / "access", device="cuda").__enter__()
    assert not (tmp_path / "access").exists()


def test_each_worker_sees_a_gpu_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The names are passed on as they are: this needs no GPU."""
    monkeypatch.setattr("cluster.local.gpus_for", lambda n_workers: ("3", "GPU-5a1c")[:n_workers])
    with machine_cluster(2, tmp_path / "access", device="cuda") as cluster, Client(cluster) as client:
        workers = workers_on(client)
        processes = [psutil.Process(pid) for pid in client.run(os.getpid).values()]
    assert not any(process.is_running() for process in processes)
    assert not (tmp_path / "access").exists()
    assert sorted(worker["gpu"] for worker in workers) == ["3", "GPU-5a1c"]
    assert {worker["nthreads"] for worker in workers} == {threads_of(2)}


def _uses_cuda(_: int) -> tuple[int, float]:
    return torch.cuda.device_count(), float(torch.ones(3, device="cuda").sum())


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_worker_computes_on_its_gpu(tmp_path: Path) -> None:
    with machine_cluster(1, tmp_path / "access", device="cuda") as cluster, Client(cluster) as client:
        assert ClusterExecutor(client).submit(_uses_cuda, 0).result() == (1, 3.0)
