"""Slurm and PBS: the scripts that jobs are, and clusters on a queue that starts each job at once as a process.

Only the queue is a stand-in: scheduler, job scripts, workers and prediction are real.
"""

import os
import re
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest
from distributed import Client

from cluster import queues
from cluster.jobqueue import JobQueueCluster
from cluster.pbs import pbs_cluster
from cluster.queues import Jobs
from cluster.slurm import slurm_cluster
from rsmtl.errors import InputError, RunError
from tests.cluster.conftest import END_S, START_S, Material, Recipe, workers_on

SUBMIT = """#!/bin/bash
cp "$1" "{spool}/$$.sh"
env -i PATH="$PATH" HOME="$HOME" TMPDIR="{tmp}" setsid bash "{spool}/$$.sh" >"{spool}/$$.log" 2>&1 </dev/null &
echo $! >"{spool}/$$.new" && mv "{spool}/$$.new" "{spool}/$$.pid"
echo "{answer}"
"""
"""A job has its own session and nothing of the submitter's environment."""
KEEP = """#!/bin/bash
cp "$1" "{spool}/$$.sh"
echo "{answer}"
"""
CANCEL = """#!/bin/bash
echo "$1" >>"{spool}/cancelled"
kill -TERM -- "-$(cat "{spool}/${{1%%.*}}.pid")"
"""
REFUSE = """#!/bin/bash
echo "invalid partition specified" >&2
exit 1
"""

JOBS = Jobs(workers=2, memory="2GiB", host="127.0.0.1", offers=("inference",))


@dataclass(frozen=True)
class Queue:
    """A queue's commands in a folder of the search path, and where its jobs lie."""

    recipe: str
    bring_up: Callable[[Jobs, Path], AbstractContextManager[JobQueueCluster]]
    submit: str
    commands: Path
    spool: Path
    tmp: Path

    @property
    def path(self) -> str:
        return f"{self.commands}{os.pathsep}{os.environ['PATH']}"

    def jobs(self) -> list[int]:
        """Process groups of the jobs that were submitted."""
        return [int(file.read_text()) for file in self.spool.glob("*.pid")]

    def becomes(self, text: str) -> None:
        """Have the command that submits do something else."""
        (self.commands / self.submit).write_text(text.format(spool=self.spool, answer="$$"))


@pytest.fixture(params=["slurm", "pbs"])
def queue(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Queue]:
    names = {"slurm": ("sbatch", "scancel", slurm_cluster), "pbs": ("qsub", "qdel", pbs_cluster)}
    answers = {"slurm": "Submitted batch job $$", "pbs": "$$.server"}
    submit, cancel, bring_up = names[request.param]
    found = Queue(request.param, bring_up, submit, *(tmp_path / name for name in ("bin", "spool", "node")))
    for folder in (found.commands, found.spool, found.tmp):
        folder.mkdir()
    for name, text in ((submit, SUBMIT), (cancel, CANCEL)):
        text = text.format(spool=found.spool, tmp=found.tmp, answer=answers[request.param])
        (found.commands / name).write_text(text)
        (found.commands / name).chmod(0o755)
    yield found
    for group in found.jobs():
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


@pytest.fixture
def here(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> Queue:
    """The queue, in this process's search path."""
    monkeypatch.setenv("PATH", queue.path)
    return queue


def test_a_product_on_a_job_of_the_queue(
    queue: Queue, recipe: Recipe, material: Material, tmp_path: Path
) -> None:
    words = ("--workers", "1", "--memory", "2GiB", "--host", "127.0.0.1", "--offer", "inference")
    standing = recipe(queue.recipe, *words, environment={"PATH": queue.path})
    material.made_on(standing, tmp_path / "out")
    with standing.client(1) as client:
        (worker,) = workers_on(client)
    assert worker["nthreads"] == 1
    assert worker["memory_limit"] == 2 * 2**30
    assert worker["resources"] == {"inference": 1}
    assert worker["omp"] == "1"
    assert worker["local_directory"].startswith(f"{queue.tmp}/rsmtl-worker-")
    processes = [*standing.processes(), *map(psutil.Process, queue.jobs())]
    assert len(queue.jobs()) == 1
    assert standing.ends(signal.SIGINT, processes) == 0
    assert len((queue.spool / "cancelled").read_text().splitlines()) == 1
    assert list(queue.tmp.iterdir()) == []
    assert not standing.folder.exists()


def _submitted(here: Queue, jobs: Jobs, folder: Path) -> tuple[set[str], dict[str, str], list[str]]:
    """The directives of a job's script, the options of its `dask worker`, and the lines before it."""
    here.becomes(KEEP)
    with here.bring_up(jobs, folder):
        (script,) = here.spool.glob("*.sh")
    lines = script.read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    directives = {line.split(" ", 1)[1] for line in lines if re.match("#(SBATCH|PBS) ", line)}
    *prologue, command = [line for line in lines[1:] if line and not line.startswith("#")]
    words = shlex.split(command)
    assert words[1:3] == ["-m", "distributed.cli.dask_worker"]
    options = {
        word: after for word, after in zip(words, [*words[1:], ""], strict=True) if word.startswith("--")
    }
    return directives, options, prologue


def test_the_script_asks_for_what_workers_need(here: Queue, tmp_path: Path) -> None:
    jobs = replace(
        JOBS, workers=4, per_job=4, walltime="04:00:00", queue="fast", account="land", logs=tmp_path / "logs"
    )
    directives, options, prologue = _submitted(here, jobs, tmp_path / "access")
    if here.recipe == "slurm":
        expected = {"-J rsmtl", "-p fast", "-A land", "-n 1", "--cpus-per-task=4", "--mem=8G", "-t 04:00:00"}
        logs = {f"-{which[0]} {tmp_path}/logs/rsmtl-%J.{which}" for which in ("err", "out")}
    else:
        expected = {
            "-N rsmtl",
            "-q fast",
            "-A land",
            "-l select=1:ncpus=4:mem=8192mb",
            "-l walltime=04:00:00",
        }
        logs = {f"-{which} {tmp_path}/logs/" for which in "eo"}
    assert directives == expected | logs
    certificate = str(tmp_path / "access" / "certificate.pem")
    assert {name: options[name] for name in options if name.startswith("--tls")} == dict.fromkeys(
        ("--tls-ca-file", "--tls-cert", "--tls-key"), certificate
    )
    assert options["--nthreads"] == "1"
    assert options["--nworkers"] == "4"
    assert options["--memory-limit"] == "2.00GiB"
    assert options["--resources"] == "inference=1"
    assert options["--dashboard-address"] == "127.0.0.1:0"
    assert options["--local-directory"] == "$scratch"
    assert "--nanny" in options
    assert "export OMP_NUM_THREADS=1" in prologue


def test_a_job_with_a_gpu_has_one_worker_of_several_threads(here: Queue, tmp_path: Path) -> None:
    jobs = replace(JOBS, workers=1, gpu=True, offers=("inference", "training"))
    directives, options, _ = _submitted(here, jobs, tmp_path / "access")
    asked = {
        "slurm": {"--gres=gpu:1", "--cpus-per-task=4"},
        "pbs": {"-l select=1:ncpus=4:mem=2048mb:ngpus=1"},
    }
    assert asked[here.recipe] <= directives
    assert options["--nthreads"] == "4"
    assert options["--resources"] == "inference=4,training=1"
    assert "--nworkers" not in options


def test_for_a_job_that_has_ended_another_is_submitted(
    here: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "LOOK_S", 0.1)
    monkeypatch.setattr(queues, "GONE_S", 0.5)
    jobs = replace(JOBS, workers=4, per_job=2)
    with here.bring_up(jobs, tmp_path / "access") as cluster, Client(cluster) as client:
        client.wait_for_workers(4, timeout=START_S)
        first, _ = here.jobs()
        before = set(client.run(os.getpid).values())
        os.killpg(first, signal.SIGKILL)
        deadline = time.monotonic() + START_S
        while len(here.jobs()) < 3 or len(cluster.scheduler.workers) < 4:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert len(before & set(client.run(os.getpid).values())) == 2
        groups = [psutil.Process(group) for group in here.jobs() if psutil.pid_exists(group)]
    assert psutil.wait_procs(groups, END_S)[1] == []
    assert len(here.jobs()) == 3


def test_a_queue_that_refuses_is_quoted(here: Queue, tmp_path: Path) -> None:
    here.becomes(REFUSE)
    with pytest.raises(RunError, match=r"^the queue refuses the job: invalid partition specified$"):
        here.bring_up(JOBS, tmp_path / "access").__enter__()
    assert not (tmp_path / "access").exists()


def test_without_a_queue_it_is_said_where_to_start(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no `sbatch` on this machine"):
        slurm_cluster(JOBS, tmp_path / "access").__enter__()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"workers": 3, "per_job": 2}, "3 workers cannot be shared out in jobs of 2"),
        ({"gpu": True, "per_job": 2}, "a job with a GPU has one worker"),
        ({"memory": "auto"}, "a job needs an amount of memory"),
        ({"memory": "much"}, "expected an amount of memory such as 4GiB, not 'much'"),
        ({"memory": "0"}, "expected an amount of memory such as 4GiB, not '0'"),
    ],
)
def test_what_cannot_be_asked_for(wrong: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        replace(JOBS, **wrong).memory_bytes  # noqa: B018
