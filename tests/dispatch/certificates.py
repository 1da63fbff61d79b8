"""Certificates, schedulers and workers of a test's own."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

START_S = 60.0


@dataclass(frozen=True)
class Identity:
    """An authority, and a certificate that it signed."""

    ca: Path
    cert: Path

    @property
    def config(self) -> dict[str, str]:
        """Dask's configuration of a client with this certificate."""
        return {
            "distributed.comm.tls.ca-file": str(self.ca),
            "distributed.comm.tls.client.cert": str(self.cert),
        }

    @property
    def environment(self) -> dict[str, str]:
        """The same, by environment variables."""
        return {
            "DASK_DISTRIBUTED__COMM__TLS__CA_FILE": str(self.ca),
            "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT": str(self.cert),
        }

    @property
    def arguments(self) -> list[str]:
        """Of `dask scheduler` and `dask worker`."""
        return ["--protocol", "tls", "--tls-ca-file", str(self.ca), "--tls-cert", str(self.cert)]


def identity(folder: Path) -> Identity:
    """Make an authority and let it sign a certificate; `folder` receives both, with the key."""
    folder.mkdir()
    found, authority = Identity(folder / "ca.pem", folder / "me.pem"), trustme.CA()
    authority.cert_pem.write_to_path(found.ca)
    authority.issue_cert("rsmtl.test").private_key_and_cert_chain_pem.write_to_path(found.cert)
    return found


@contextmanager
def scheduler(folder: Path, *arguments: str) -> Iterator[str]:
    """Start a `dask scheduler`, and give its address."""
    file = folder / "scheduler.json"
    with _process("scheduler", "--port", "0", "--scheduler-file", str(file), *arguments) as process:
        deadline = time.monotonic() + START_S
        while not file.exists() or not file.read_text().strip().endswith("}"):
            assert process.poll() is None, "the scheduler has ended"
            assert time.monotonic() < deadline, "the scheduler did not start"
            time.sleep(0.05)
        yield json.loads(file.read_text())["address"]


@contextmanager
def worker(address: str, *arguments: str) -> Iterator[None]:
    """Start a `dask worker` of one thread."""
    with _process("worker", address, "--nthreads", "1", *arguments):
        yield


@contextmanager
def _process(kind: str, *arguments: str) -> "Iterator[subprocess.Popen[bytes]]":
    bound = ["--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "dask", kind, *arguments, *bound],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
