"""dask-jobqueue's clusters. Its import takes Ctrl-C from the process; here that is given back."""

import signal

_CTRL_C = signal.getsignal(signal.SIGINT)

from dask_jobqueue.core import JobQueueCluster  # noqa: E402
from dask_jobqueue.pbs import PBSCluster  # noqa: E402
from dask_jobqueue.slurm import SLURMCluster  # noqa: E402

signal.signal(signal.SIGINT, _CTRL_C)

__all__ = ["JobQueueCluster", "PBSCluster", "SLURMCluster"]
