"""Loaded into every worker before it works: says which chunks' windows it runs, and which jobs have left their result.

A line is one write to the end of a file, whole whoever else writes; of a worker that is killed all lines are there.
"""

import os
from collections.abc import Callable
from functools import wraps
from typing import Any

from distributed import Worker

from rsmtl.engine import jobs
from rsmtl.engine.plan import Plan
from rsmtl.lattice import Chunk

PATH = "RSMTL_CHAOS_WITNESS"
"""Environment variable that names the file."""
HOST = "RSMTL_CHAOS_HOST"
"""Environment variable that names the host a worker is on."""


def dask_setup(worker: Worker) -> None:
    """Begin to watch; Dask calls this in each worker that is told to preload this module."""
    _say("worker", os.environ.get(HOST, "-"), os.getpid())
    jobs.run_chunk = _watched(jobs.run_chunk)
    jobs.run_job, jobs.finish_job = _told(jobs.run_job), _told(jobs.finish_job)


def _watched(run_chunk: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(run_chunk)
    def wrapper(plan: Plan, chunk: Chunk) -> Any:
        _say("run", plan.scene.id, *chunk)
        return run_chunk(plan, chunk)

    return wrapper


def _told(job: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(job)
    def wrapper(plan: Plan, folder: Any, chunk: Chunk) -> Any:
        receipt = job(plan, folder, chunk)
        if receipt.finished or receipt.span:  # or else it found what another one had begun
            _say("kept", plan.scene.id, *chunk)
        return receipt

    return wrapper


def _say(*words: object) -> None:
    line = " ".join(map(str, words)) + "\n"
    file = os.open(os.environ[PATH], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)
