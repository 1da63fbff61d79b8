"""Where work runs: threads, worker processes, a Dask cluster. Nothing else here imports `distributed`."""

from rsmtl.dispatch.executors import (
    ClusterExecutor,
    cluster_at,
    keep_freed_memory,
    local_cluster,
    said_plainly,
)
from rsmtl.dispatch.gpus import gpu_cluster, gpus_for, threads_of
from rsmtl.dispatch.launch import Launch, launch
from rsmtl.dispatch.limited import limited
from rsmtl.dispatch.pool import ThreadExecutor, threads

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
    "said_plainly",
    "threads",
    "threads_of",
]
