"""Training on Dask workers: the bytes of torchrun, and no hang, no loss and no orphan whatever dies."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from distributed import Client, LocalCluster, Worker
from safetensors.torch import load_file

from rsmtl.dispatch import ClusterExecutor, Launch, launch
from rsmtl.dispatch.executors import workers_of
from rsmtl.dispatch.forked import forked_workers
from rsmtl.errors import InputError, RunError
from rsmtl.training import TrainConfig
from rsmtl.training.folder import LOG_NAME, MODEL_NAME, RANKS_NAME, STATE_NAME
from tests.training.configs import tiny

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(280)]

DASK_WORKER = (sys.executable, "-m", "distributed.cli.dask_worker", "--no-dashboard")

EVERY_STEP = 0.0
"""Seconds between checkpoints."""


@contextmanager
def cluster_of(n_workers: int, **options: Any) -> Iterator[tuple[LocalCluster, Client]]:
    with (
        forked_workers(),
        LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=None, **options) as cluster,
        Client(cluster) as client,
    ):
        yield cluster, client


def options(**changed: Any) -> Launch:
    return Launch(**{"timeout_s": 60.0, "checkpoint_s": EVERY_STEP, "device": "cpu", **changed})


def steps_of(out: Path) -> list[tuple[int, int]]:
    """Epoch and step of each line of the log; steps that a killed group took after its last checkpoint are cut off."""
    lines = [json.loads(line) for line in (out / LOG_NAME).read_text().splitlines()]
    return [(line["epoch"], line["step"]) for line in lines if line["kind"] == "step"]


def all_steps(config: TrainConfig) -> list[tuple[int, int]]:
    n_steps = config.sampling.patches_per_epoch // config.batch
    return [(epoch, step) for epoch in range(config.epochs) for step in range(n_steps)]


def orphans(out: Path) -> list[str]:
    """Processes that still work on a training."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if str(out) in words and process.pid != os.getpid():
            found.append(" ".join(words))
    return found


def once_at(step: int, act: Callable[[], None]) -> Callable[[dict[str, Any]], None]:
    """Return a report that acts once, when a step is reported."""
    done = []

    def report(record: dict[str, Any]) -> None:
        if record["kind"] == "step" and record["step"] >= step and not done:
            done.append(record)
            act()

    return report


def pid(dask_worker: Worker | None = None) -> int:
    return os.getpid()


def worker_pids(client: Client) -> dict[str, int]:
    return dict(sorted(client.run(pid).items()))


def rank_pids(out: Path) -> list[int]:
    """Processes that are ranks, not agents."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if str(out) in words and "torch.distributed.run" not in words and process.pid != os.getpid():
            found.append(process.pid)
    return sorted(found)


def tensors(out: Path) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in load_file(out / STATE_NAME).items()}


def test_same_bytes_as_torchrun(tmp_path: Path) -> None:
    config = tiny(tmp_path / "config.yaml", epochs=1)
    with cluster_of(2) as (_, client):
        launch(config, tmp_path / "dask", tmp_path, ClusterExecutor(client), options())
        assert (
            client.submit(pid).result() in worker_pids(client).values()
        )  # it answers, and has nothing left to do
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d"]
    train = ["-m", "rsmtl", "train", str(tmp_path / "config.yaml"), "--out", str(tmp_path / "torchrun")]
    done = subprocess.run(
        [*command, "--rdzv-endpoint=localhost:0", *train, "--data", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "dask" / MODEL_NAME).read_bytes() == (tmp_path / "torchrun" / MODEL_NAME).read_bytes()
    assert tensors(tmp_path / "dask") == tensors(tmp_path / "torchrun")
    files = {path.name for path in (tmp_path / "dask" / RANKS_NAME).rglob("*") if path.is_file()}
    assert {"stdout.log", "stderr.log", "agent.log"} <= files
    assert orphans(tmp_path / "dask") == []


@pytest.mark.parametrize("which", [0, 2], ids=["with the store", "another"])
def test_a_worker_killed(tmp_path: Path, which: int) -> None:
    config = tiny(tmp_path / "config.yaml", epochs=2)
    seen: list[tuple[float, int]] = []
    killed: list[float] = []
    with cluster_of(3) as (_, client):
        victim = list(worker_pids(client).values())[which]

        def kill() -> None:
            os.kill(victim, signal.SIGKILL)
            killed.append(time.monotonic())

        act = once_at(2, kill)

        def report(record: dict[str, Any]) -> None:
            act(record)
            seen.append((time.monotonic(), record["epoch"]))

        launch(config, tmp_path / "run", tmp_path, ClusterExecutor(client), options(), report=report)
    assert steps_of(tmp_path / "run") == all_steps(config)
    assert (tmp_path / "run" / MODEL_NAME).exists()
    assert orphans(tmp_path / "run") == []
    again = next(at for at, _ in seen if killed and at > killed[0] + 1)
    print(f"the group worked again {again - killed[0]:.1f} s after the loss")


def test_a_rank_killed(tmp_path: Path) -> None:
    config = tiny(tmp_path / "config.yaml", epochs=1)
    with cluster_of(2) as (_, client):
        act = once_at(2, lambda: os.kill(rank_pids(tmp_path / "run")[-1], signal.SIGKILL))
        launch(config, tmp_path / "run", tmp_path, ClusterExecutor(client), options(), report=act)
    assert steps_of(tmp_path / "run") == all_steps(config)
    assert orphans(tmp_path / "run") == []


def test_a_rank_that_hangs(tmp_path: Path) -> None:
    """It neither works nor ends: the other gives it up after the timeout, and both begin again."""
    config = tiny(tmp_path / "config.yaml", epochs=1)
    with cluster_of(2) as (_, client):
        act = once_at(2, lambda: os.kill(rank_pids(tmp_path / "run")[-1], signal.SIGSTOP))
        patient = options(timeout_s=15.0)
        launch(config, tmp_path / "run", tmp_path, ClusterExecutor(client), patient, report=act)
    assert steps_of(tmp_path / "run") == all_steps(config)
    assert orphans(tmp_path / "run") == []


def test_a_worker_that_joins_late(tmp_path: Path) -> None:
    config = tiny(tmp_path / "config.yaml", epochs=3)
    with cluster_of(1) as (cluster, client):
        joins = once_at(2, lambda: cluster.scale(2))
        launch(
            config, tmp_path / "run", tmp_path, ClusterExecutor(client), options(max_workers=2), report=joins
        )
    assert steps_of(tmp_path / "run") == all_steps(config)
    taken_in = [path for path in (tmp_path / "run" / RANKS_NAME).iterdir() if list(path.rglob("stdout.log"))]
    assert len(taken_in) == 2


def test_a_rank_that_always_fails_says_why(tmp_path: Path) -> None:
    config = tiny(tmp_path / "config.yaml", optimizer={"lr": 1e30})
    with cluster_of(2) as (_, client):
        with pytest.raises(
            RunError, match=r"^rank \d: the loss is not finite in step \d of epoch 0: .*its patches"
        ):
            launch(config, tmp_path / "run", tmp_path, ClusterExecutor(client), options(max_restarts=1))
        assert orphans(tmp_path / "run") == []
        assert client.submit(pid).result() > 0


def test_ctrl_c_leaves_a_state_that_goes_on(tmp_path: Path) -> None:
    config = tiny(tmp_path / "config.yaml", epochs=1)
    with cluster_of(2) as (_, client):
        executor = ClusterExecutor(client)
        undisturbed = launch(config, tmp_path / "whole", tmp_path, executor, options())
        with pytest.raises(KeyboardInterrupt, match="the training was stopped; go on with --resume"):
            launch(
                config,
                tmp_path / "run",
                tmp_path,
                executor,
                options(checkpoint_s=300.0),
                report=once_at(2, lambda: os.kill(os.getpid(), signal.SIGINT)),
            )
        assert orphans(tmp_path / "run") == []
        stopped = steps_of(tmp_path / "run")
        assert 3 <= len(stopped) < len(all_steps(config))
        path = launch(config, tmp_path / "run", tmp_path, executor, options(), resume=True)
    assert steps_of(tmp_path / "run") == all_steps(config)
    assert path.read_bytes() == undisturbed.read_bytes()
    assert tensors(tmp_path / "run") == tensors(tmp_path / "whole")


def test_a_launcher_that_dies_takes_its_agents_along(tmp_path: Path) -> None:
    tiny(tmp_path / "config.yaml", epochs=50)
    with cluster_of(1) as (cluster, client):
        words = ["train", tmp_path / "config.yaml", "--out", tmp_path / "run", "--checkpoint", 0]
        launcher = subprocess.Popen(
            [sys.executable, "-m", "rsmtl", *map(str, words), "--scheduler", cluster.scheduler_address],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until(lambda: (tmp_path / "run" / STATE_NAME).exists())
        finally:
            launcher.kill()
            launcher.wait()
        wait_until(lambda: orphans(tmp_path / "run") == [])
        assert client.submit(pid).result() > 0


def wait_until(true: Callable[[], bool], within_s: float = 100.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def test_resources_keep_training_and_inference_apart(tmp_path: Path) -> None:
    config = tiny(tmp_path / "config.yaml", epochs=1)
    with (
        cluster_of(1, resources={"training": 1}) as (cluster, client),
        cluster_of(0),
    ):
        inference = subprocess.Popen(
            [*DASK_WORKER, cluster.scheduler_address, "--nthreads", "1", "--resources", "inference=1"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            client.wait_for_workers(2, timeout=60)
            executor = ClusterExecutor(client)
            ran: list[int] = []

            def infer() -> None:
                ran.extend(executor.submit(pid).result() for _ in range(3))

            launch(config, tmp_path / "run", tmp_path, executor, options(), report=once_at(1, infer))
            training = client.run(
                pid,
                workers=[w for w, i in workers_of(client).items() if "training" in i["resources"]],
            )
        finally:
            inference.terminate()
            inference.wait()
    assert len(ran) == 3
    assert not set(ran) & set(training.values())
    assert len(list((tmp_path / "run" / RANKS_NAME).iterdir())) == 1


def occupy(seconds: float) -> None:
    time.sleep(seconds)


def test_a_worker_that_is_busy_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """An agent that never began is not waited for."""
    config = tiny(tmp_path / "config.yaml", epochs=1)
    with cluster_of(2) as (_, client):
        busy = sorted(client.run(pid))[1]
        occupied = client.submit(occupy, 120.0, workers=[busy], pure=False)
        began = time.monotonic()
        with pytest.raises(RunError):
            launch(
                config,
                tmp_path / "run",
                tmp_path,
                ClusterExecutor(client),
                options(timeout_s=8.0, max_restarts=0),
            )
        assert not occupied.done()
        print(f"given up after {time.monotonic() - began:.1f} s")


def test_too_few_workers(tmp_path: Path) -> None:
    with (
        cluster_of(1) as (_, client),
        pytest.raises(InputError, match=r"at least 2 worker\(s\), the cluster has 1"),
    ):
        launch(
            tiny(tmp_path / "c.yaml"),
            tmp_path / "run",
            tmp_path,
            ClusterExecutor(client),
            options(min_workers=2),
        )
