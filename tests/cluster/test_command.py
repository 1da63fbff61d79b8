"""What a recipe says on the command line, and who gets its certificate."""

import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from distributed.security import Security

from cluster.access import CONFIG, access, tell_address
from cluster.worker import Offer
from rsmtl.dispatch.executors import INFERENCE, TRAINING
from rsmtl.errors import InputError
from tests.cluster.conftest import ROOT


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--workers", "2", "--memory", "2GiB"), "there is no `sbatch` on this machine: "),
        (
            ("--workers", "two", "--memory", "2GiB"),
            "Invalid value for '--workers': ",
        ),
        (
            ("--workers", "3", "--memory", "2GiB", "--per-job", "2"),
            "3 workers cannot be shared out in jobs of 2",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(words: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cluster.slurm", *words, "--access", str(tmp_path / "access")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(sentence)
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "access").exists()


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = ["--workers", "1", "--port", port, "--access", str(tmp_path / "access")]
        command = [sys.executable, "-m", "cluster.local", *words]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "the scheduler cannot be started (address already in use" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "access").exists()


def test_another_cluster_that_took_the_place_keeps_its_certificate(tmp_path: Path) -> None:
    folder = tmp_path / "access"
    with ExitStack() as first:
        first.enter_context(access(folder))
        shutil.rmtree(folder)
        with access(folder):
            first.close()
            assert (folder / CONFIG).exists()
    assert not folder.exists()


def test_only_the_owner_can_read_the_certificate_while_the_cluster_stands(tmp_path: Path) -> None:
    folder = tmp_path / "access"
    with access(folder) as security:
        tell_address(folder, "tls://127.0.0.1:8786")
        assert (folder / "address").read_text() == "tls://127.0.0.1:8786\n"
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "certificate.pem").stat().st_mode & 0o777 == 0o600
        assert security.require_encryption
        for role in ("scheduler", "worker", "client"):
            assert security.get_connection_args(role)["ssl_context"] is not None
    assert not folder.exists()


def test_each_cluster_has_a_certificate_of_its_own(tmp_path: Path) -> None:
    with access(tmp_path / "one"), access(tmp_path / "other"):
        one, other = ((tmp_path / name / "certificate.pem").read_text() for name in ("one", "other"))
    assert one != other


def test_a_folder_that_another_cluster_has_is_refused_and_left_alone(tmp_path: Path) -> None:
    with access(tmp_path / "access"):
        with pytest.raises(InputError, match="is there already: another cluster has it"):
            access(tmp_path / "access").__enter__()
        assert (tmp_path / "access" / CONFIG).exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/access cannot be made \(not a directory\)"):
        access(tmp_path / "file" / "access").__enter__()


def test_dask_takes_the_certificate_from_its_configuration(tmp_path: Path) -> None:
    """By DASK_CONFIG, which is read when Dask is imported."""
    code = (
        "from distributed.security import Security; found = Security(); "
        "print(found.require_encryption, found.tls_ca_file, found.tls_client_cert, found.tls_client_key)"
    )
    with access(tmp_path / "access"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={"DASK_CONFIG": str(tmp_path / "access" / CONFIG), "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    certificate = tmp_path / "access" / "certificate.pem"
    assert done.stdout.split() == ["True", *[str(certificate)] * 3]
    assert Security().tls_ca_file is None


def test_offers_are_the_resources_that_the_product_asks_for() -> None:
    assert {str(offer) for offer in Offer} == {INFERENCE, TRAINING}
