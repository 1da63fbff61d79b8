"""What workers tell of themselves; imports next to nothing, as it is imported there."""

import os

import psutil


def surroundings() -> dict[str, object]:
    """Threads of OpenMP, the GPU it may see, and where it listens for what has no password."""
    listening = psutil.Process().net_connections("inet")
    return {
        "omp": os.environ["OMP_NUM_THREADS"],
        "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "listens_at": {one.laddr.ip for one in listening if one.status == psutil.CONN_LISTEN},
    }
