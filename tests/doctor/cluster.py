"""A cluster whose workers differ on purpose, each in its own way, as they do where nobody looked after them."""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import rsmtl
from tests.dispatch.certificates import Identity, worker

AHEAD_S = 5
UNSHARE = ("unshare", "--mount")


@contextmanager
def environment(folder: Path, variables: Mapping[str, str]) -> Iterator[None]:
    """Let what is started in the block have another working folder and other variables."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, value in variables.items():
            patch.setenv(name, value)
        yield


def other_packages(folder: Path) -> Path:
    """Make a folder for PYTHONPATH: another rsmtl, another odc-geo, and a clock that is ahead."""
    folder.mkdir()
    shutil.copytree(
        Path(rsmtl.__file__).parent, folder / "rsmtl", ignore=shutil.ignore_patterns("__pycache__")
    )
    with (folder / "rsmtl" / "units.py").open("a") as file:
        file.write("\n# changed\n")
    info = folder / "odc_geo-99.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odc-geo\nVersion: 99.9\n")
    (folder / "sitecustomize.py").write_text(
        f"import time\nours = time.time\ntime.time = lambda: ours() + {AHEAD_S}\n"
    )
    return folder


def no_rsmtl(folder: Path) -> Path:
    """Make a folder for PYTHONPATH that takes rsmtl away."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import os, sys\nsys.path[:] = [p for p in sys.path if not os.path.isdir(os.path.join(p, 'rsmtl'))]\n"
    )
    return folder


def mounts_of_ones_own() -> bool:
    """Whether this process may have some."""
    try:
        return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@contextmanager
def _apart(words: list[str], hidden: Path, instead: Path) -> Iterator[None]:
    """Run a command that has a disk of its own in the place of a folder, with other files, where that may be."""
    script = 'mount -t tmpfs tmpfs "$0" && cp -r "$1"/. "$0" && shift && exec "$@"'
    before = [*UNSHARE, "sh", "-c", script, str(hidden), str(instead)] if mounts_of_ones_own() else []
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([*before, *words], **quiet) as process:
        try:
            yield
        finally:
            process.kill()


@contextmanager
def workers_that_differ(
    address: str, folder: Path, shared: Path, instead: Path, identity: Identity
) -> Iterator[None]:
    """Start `good`, a worker as it should be, and two that are not.

    `odd` has other packages, another clock, no nanny, little memory, no way to the object store and, where the machine
    allows it, another disk in the place of the shared one. `bare` has no rsmtl.
    """
    odd = {"PYTHONPATH": str(other_packages(folder / "other")), "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    bare = {"PYTHONPATH": str(no_rsmtl(folder / "bare"))}
    bound = ["--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0", *identity.arguments]
    few = ["--name", "odd", "--nthreads", "1", "--no-nanny", "--memory-limit", "400MiB"]
    with ExitStack() as stack:
        with environment(folder, {}):
            words = ["--name", "good", "--memory-limit", "4GiB", *identity.arguments]
            stack.enter_context(worker(address, *words))
        with environment(folder, bare):
            stack.enter_context(worker(address, "--name", "bare", "--no-nanny", *identity.arguments))
        with environment(folder, odd):
            words = [sys.executable, "-m", "dask", "worker", address, *few, *bound]
            stack.enter_context(_apart(words, shared, instead))
        yield
