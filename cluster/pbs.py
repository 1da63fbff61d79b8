"""Workers as jobs of PBS; the scheduler is in this process, on a machine that can submit jobs.

python -m cluster.pbs --workers 32 --per-job 8 --memory 4GiB --walltime 04:00:00
python -m cluster.pbs --workers 4 --gpu --memory 32GiB --queue gpu
"""

import sys
from contextlib import AbstractContextManager
from pathlib import Path

from cluster.access import FOLDER
from cluster.command import run_command
from cluster.jobqueue import PBSCluster
from cluster.queues import Jobs, queue_cluster, queue_command


def pbs_cluster(jobs: Jobs, folder: Path = FOLDER) -> AbstractContextManager[PBSCluster]:
    """Submit jobs to PBS; see `queue_cluster`."""
    asked = f"select=1:ncpus={jobs.cores}:mem={-(-jobs.memory_bytes // 2**20)}mb"
    return queue_cluster(
        PBSCluster, "qsub", jobs, folder, resource_spec=f"{asked}:ngpus=1" if jobs.gpu else asked
    )


if __name__ == "__main__":
    sys.exit(run_command(queue_command(pbs_cluster)))
