"""Workers as jobs of Slurm; the scheduler is in this process, on a machine that can submit jobs.

python -m cluster.slurm --workers 32 --per-job 8 --memory 4GiB --walltime 04:00:00
python -m cluster.slurm --workers 4 --gpu --memory 32GiB --queue gpu
"""

import sys
from contextlib import AbstractContextManager
from pathlib import Path

from cluster.access import FOLDER
from cluster.command import run_command
from cluster.jobqueue import SLURMCluster
from cluster.queues import Jobs, queue_cluster, queue_command


def slurm_cluster(jobs: Jobs, folder: Path = FOLDER) -> AbstractContextManager[SLURMCluster]:
    """Submit jobs to Slurm; see `queue_cluster`."""
    gpu = ["--gres=gpu:1"] if jobs.gpu else []
    return queue_cluster(SLURMCluster, "sbatch", jobs, folder, job_extra_directives=gpu)


if __name__ == "__main__":
    sys.exit(run_command(queue_command(slurm_cluster)))
