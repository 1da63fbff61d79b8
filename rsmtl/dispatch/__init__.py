"""Where work runs: threads, worker processes, a Dask cluster. Nothing else here imports `distributed`."""

from rsmtl.dispatch.executors import (
    ClusterExecutor,
    ThreadExecutor,
    cluster_at,
    keep_freed_memory,
    local_cluster,
    said_plainly,
    threads,
)
from rsmtl.dispatch.launch import Launch, launch

__all__ = [
    "ClusterExecutor",
    "Launch",
    "ThreadExecutor",
    "cluster_at",
    "keep_freed_memory",
    "launch",
    "local_cluster",
    "said_plainly",
    "threads",
]
