"""Where work runs: threads, worker processes, a Dask cluster. Nothing else here imports `distributed`.

Training is loaded when it is first asked for: workers and commands that predict start a second earlier without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rsmtl.dispatch.executors import (
    ClusterExecutor,
    cluster_at,
    keep_freed_memory,
    local_cluster,
)
from rsmtl.dispatch.gpus import gpu_cluster, gpus_for, threads_of
from rsmtl.dispatch.limited import limited
from rsmtl.dispatch.pool import ThreadExecutor, threads

if TYPE_CHECKING:
    from rsmtl.dispatch.launcher import Launch, launch

__all__ = [
    "ClusterExecutor",
    "Launch",
    "ThreadExecutor",
    "cluster_at",
    "gpu_cluster",
    "gpus_for",
    "keep_freed_memory",
    "launch",
    "limited",
    "local_cluster",
    "threads",
    "threads_of",
]


def __getattr__(name: str) -> Any:
    if name not in ("Launch", "launch"):
        raise AttributeError(f"module 'rsmtl.dispatch' has no attribute {name!r}")
    return getattr(import_module("rsmtl.dispatch.launcher"), name)
