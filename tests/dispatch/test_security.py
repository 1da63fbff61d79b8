"""Who reaches a scheduler or a worker can run code there: nobody does who has no certificate."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dask
import psutil
import pytest
from distributed import Client
from distributed.security import Security

from rsmtl.dispatch import ClusterExecutor, cluster_at, local_cluster
from rsmtl.dispatch.executors import workers_of
from rsmtl.dispatch.launcher import _close_store, _open_store
from rsmtl.errors import InputError
from tests import fakes, forked
from tests.dispatch.certificates import Identity, identity, scheduler, worker
from tests.scene.rasters import image, write_raster

pytestmark = pytest.mark.cluster

QUICK_S = 10.0
"""Dask's own client tries for 10 s, or for ever; this is far less than that even on a busy machine."""


def _pid() -> int:
    return os.getpid()


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return identity(tmp_path_factory.mktemp("certificates") / "ours")


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return identity(tmp_path_factory.mktemp("certificates") / "others")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory, ours: Identity) -> Iterator[str]:
    """Address of a scheduler with TLS that has a worker."""
    with (
        scheduler(tmp_path_factory.mktemp("tls"), *ours.arguments) as address,
        worker(address, *ours.arguments),
    ):
        security = Security(tls_ca_file=str(ours.ca), tls_client_cert=str(ours.cert), require_encryption=True)
        with Client(address, security=security) as client:
            client.wait_for_workers(1, timeout=60)
        yield address


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a scheduler without TLS."""
    with scheduler(tmp_path_factory.mktemp("plain")) as address:
        yield address


def _refused(address: str, sentence: str) -> None:
    began = time.monotonic()
    with pytest.raises(InputError, match=sentence) as found, cluster_at(address):
        pass
    assert time.monotonic() - began < QUICK_S
    assert "\n" not in str(found.value)


def test_a_client_with_a_certificate_of_the_authority_is_served(tls: str, ours: Identity) -> None:
    with dask.config.set(ours.config), cluster_at(tls) as executor:
        assert executor.submit(_pid).result(60) != os.getpid()


def test_a_client_without_certificates_is_told_what_to_set(tls: str) -> None:
    _refused(
        tls, r"wants TLS, and Dask's configuration has no certificates: set distributed\.comm\.tls\.ca-file"
    )


def test_a_client_with_a_certificate_of_another_authority_is_refused(
    tls: str, ours: Identity, others: Identity
) -> None:
    with dask.config.set({**others.config, "distributed.comm.tls.ca-file": str(ours.ca)}):
        _refused(tls, r"refuses our certificate \(tlsv1 alert unknown ca\)")


def test_a_scheduler_that_another_authority_vouches_for_is_not_trusted(tls: str, others: Identity) -> None:
    with dask.config.set(others.config):
        _refused(tls, r"certificate of the scheduler at 'tls://.*' is not to be trusted \(self-signed")


def test_a_client_without_tls_is_refused(tls: str) -> None:
    _refused(tls.replace("tls://", "tcp://"), r"has TLS: give its address with tls://")


def test_tls_is_not_given_up_for_a_scheduler_without(plain: str, ours: Identity) -> None:
    with dask.config.set(ours.config):
        _refused(plain.replace("tcp://", "tls://"), r"has no TLS")
    with dask.config.set({**ours.config, "distributed.comm.require-encryption": True}):
        _refused(plain, r"asks for encryption, 'tcp://.*' has none")


@pytest.mark.parametrize("content", [None, "no certificate"], ids=["missing", "junk"])
def test_certificates_that_cannot_be_used_are_named(
    tls: str, ours: Identity, tmp_path: Path, content: str | None
) -> None:
    broken = tmp_path / "me.pem"
    if content is not None:
        broken.write_text(content)
    with dask.config.set({**ours.config, "distributed.comm.tls.client.cert": str(broken)}):
        _refused(tls, rf"cannot be used \(.+\): mend .*{broken.name}")


def test_a_listener_that_says_nothing_is_no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rsmtl.dispatch.connect.TIMEOUT_S", 0.2)
    monkeypatch.setattr("rsmtl.dispatch.connect._SILENCE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        _refused(f"tcp://127.0.0.1:{server.getsockname()[1]}", "no Dask scheduler answers")


@pytest.mark.slow
def test_the_command_line_predicts_with_certificates_and_not_without(
    tls: str, ours: Identity, tmp_path: Path
) -> None:
    scene = write_raster(tmp_path / "scene.tif", image(3, 64, 64))
    model = fakes.random_checkpoint(tmp_path / "random.safetensors")
    out = tmp_path / "out"
    words = ["rsmtl", "predict", scene, "--model", model, "--out", out]
    words += ["--scheduler", tls, "--window", "64", "--overlap", "16"]
    refused = forked.call(tmp_path / "said", *words)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "has no certificates" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not out.exists()
    # Dask reads its configuration when it is imported, which a copy of the fork server has done: a real start
    environment = {**os.environ, **ours.environment}
    command = [sys.executable, "-m", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=environment)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert (out / "scene" / "item.json").exists()


@pytest.fixture(scope="module")
def own() -> Iterator[ClusterExecutor]:
    """A cluster as `--workers` starts it."""
    with local_cluster(1) as executor:
        executor.submit(_pid).result()
        yield executor


def test_our_own_cluster_lets_nobody_else_in(own: ClusterExecutor, others: Identity) -> None:
    workers = list(workers_of(own.client).values())
    doors = [own.client.scheduler.address, workers[0]["nanny"], *workers_of(own.client)]
    assert len(doors) == 3
    for door in doors:
        assert door.startswith("tls://127.0.0.1:")
        _refused(door, "has no certificates")
        _refused(door.replace("tls://", "tcp://"), "has TLS")
        with dask.config.set(others.config):
            _refused(door, "is not to be trusted")


def test_our_own_cluster_listens_on_this_machine_alone(own: ClusterExecutor) -> None:
    for pid in (os.getpid(), own.submit(_pid).result()):  # scheduler and nannies are in this process
        found = psutil.Process(pid).net_connections("inet")
        assert {one.laddr.ip for one in found if one.status == psutil.CONN_LISTEN} == {"127.0.0.1"}


def _folder(dask_worker: object) -> str:
    return dask_worker.local_directory  # type: ignore[attr-defined, no-any-return]


def test_what_workers_spill_is_in_a_folder_of_ours(own: ClusterExecutor) -> None:
    (folder,) = own.client.run(_folder).values()
    private = next(one for one in Path(folder).parents if one.name.startswith("rsmtl-workers-"))
    assert private.stat().st_mode & 0o077 == 0
    assert private.stat().st_uid == os.getuid()


def test_the_store_that_agents_meet_at_is_on_its_workers_address_alone() -> None:
    """Agents unpickle what it holds."""
    port = _open_store("run", "127.0.0.1")
    try:
        found = psutil.Process().net_connections("inet")
        assert {one.laddr.ip for one in found if one.laddr.port == port and not one.raddr} == {"127.0.0.1"}
    finally:
        _close_store("run")
