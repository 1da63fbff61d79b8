"""Workers that are lost, as events in the log: the only trace that is left of one that was killed."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from distributed import Client
from distributed.client import ClosedClientError

from rsmtl.logs import tell

_LOG = logging.getLogger(__name__)


@contextmanager
def lost_workers_told(client: Client) -> Iterator[None]:
    """Log every worker that leaves the cluster without being asked to, while the block lasts."""
    client.subscribe_topic("all", _heard)
    try:
        yield
    finally:  # or the scheduler would tell the client of its own leaving, and complain that it is gone
        with suppress(ClosedClientError):  # the scheduler has gone first
            client.unsubscribe_topic("all")


def _heard(event: tuple[float, Any]) -> None:
    """Take what the scheduler says of the whole cluster; anybody may add topics and shapes of their own to it."""
    _, told = event
    if isinstance(told, dict) and told.get("action") == "remove-worker" and not told.get("expected"):
        n_jobs = len(told.get("processing-tasks", ()))
        tell(_LOG, "worker lost", level=logging.WARNING, worker=str(told.get("worker")), n_jobs_again=n_jobs)
