"""The site, built once for all tests of a run, in whichever process comes first."""

import fcntl
import os
from pathlib import Path

import pytest

from docs.build import build


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the site; notebooks are in it without outputs. Fails if Sphinx warns of anything."""
    base = tmp_path_factory.getbasetemp()
    out = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "site"  # what the processes share
    with out.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        failed = out.with_suffix(".failed")
        if failed.exists():
            raise RuntimeError(failed.read_text())
        if not (out / "index.html").exists():
            try:
                build(out, execute=False)
            except RuntimeError as error:
                failed.write_text(str(error))
                raise
    return out
