"""One Prefect server and one cluster for the tests of flows: both are real, and both end with the module."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import LocalCluster
from prefect.settings import temporary_settings
from prefect.testing.utilities import prefect_test_harness

from flows.embedded import STARTUP_S
from tests import fakes
from tests.scene.conftest import served

__all__ = ["prefect_server", "scheduler", "served"]


@pytest.fixture(scope="module")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An embedded server with a database of its own."""
    own = {"home": tmp_path_factory.mktemp("prefect"), "server.analytics_enabled": False}
    with temporary_settings(updates=own), prefect_test_harness(server_startup_timeout=STARTUP_S):
        yield


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """Address of a cluster of one worker in this process."""
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fakes.random_checkpoint(tmp_path_factory.mktemp("model") / "random.safetensors")
