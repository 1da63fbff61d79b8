"""The cluster that a flow runs on: one that stands, or worker processes of its own that know nothing of flows."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rsmtl.dispatch import ClusterExecutor, cluster_at, local_cluster


@contextmanager
def flow_cluster(scheduler: str | None, n_workers: int) -> Iterator[ClusterExecutor]:
    """Use the cluster at an address, or start `n_workers` processes on this machine, while the block lasts.

    Raises
    ------
    InputError
        If no scheduler answers at the address, or it has no workers.
    """
    if scheduler:
        with cluster_at(scheduler) as cluster:
            yield cluster
    else:
        with _main_module_hidden(), local_cluster(n_workers) as cluster:
            yield cluster


@contextmanager
def _main_module_hidden() -> Iterator[None]:
    """Leave nothing by which worker processes could find the program that starts them.

    They would import it, be it `flows.process_catalogue` or the engine of a Prefect worker, and with it Prefect, which
    none of their jobs needs: it costs each a second of computing and 60 MB.
    """
    main = vars(sys.modules["__main__"])
    hidden = {name: main.pop(name) for name in ("__spec__", "__file__") if name in main}
    main["__spec__"] = None  # as in an interactive session
    try:
        yield
    finally:
        main.update(hidden)
