"""The fork server: when it cannot be had, and that it ends with the process that started it."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from rsmtl import fork_server

pytestmark = pytest.mark.cluster


def _python(code: str, cwd: Path, **environment: str) -> str:
    """What a program prints that has a process of its own."""
    command = [sys.executable, "-c", f"import logging\nlogging.basicConfig(level=20)\n{code}"]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=True, cwd=cwd, env=environment
    )
    return ended.stdout + ended.stderr


def test_it_is_not_used_where_its_socket_has_too_long_a_path(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 100)
    folder.mkdir()
    said = _python("from rsmtl import fork_server\nprint(fork_server.start())", tmp_path, TMPDIR=str(folder))
    assert said.startswith("False\n")
    assert 'fork server not used reason="AF_UNIX path too long"' in said


def test_it_is_not_used_where_there_is_another(tmp_path: Path) -> None:
    said = _python(
        "from multiprocessing import forkserver\nforkserver.set_forkserver_preload([])\nforkserver.ensure_running()\n"
        "from rsmtl import fork_server\nprint(fork_server.start())",
        tmp_path,
    )
    assert said.startswith("False\n")
    assert 'reason="this process has another one"' in said


def test_it_is_not_used_where_a_variable_has_changed_that_only_a_new_process_reads(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "rsmtl")
    assert fork_server.start()
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert fork_server.start()
    monkeypatch.setenv("FSSPEC_S3_ENDPOINT_URL", "http://127.0.0.1:9")
    assert not fork_server.start()
    assert "changed since it was started: FSSPEC_S3_ENDPOINT_URL" in caplog.messages[-1]


def test_what_libraries_set_when_they_are_imported_does_not_turn_it_off(tmp_path: Path) -> None:
    code = "from rsmtl import fork_server\nfork_server.start()\nimport pyproj, rsmtl.scene.open, sklearn\n"
    said = _python(
        f"{code}import os\nprint(fork_server.start(), 'PROJ_CURL_CA_BUNDLE' in os.environ)", tmp_path
    )
    assert said == "True True\n"


def test_starting_it_leaves_the_environment_as_it_was(tmp_path: Path) -> None:
    code = "import os\nfrom rsmtl import fork_server\nbefore = dict(os.environ)\n"
    assert _python(f"{code}print(fork_server.start(), before == dict(os.environ))", tmp_path) == "True True\n"


def test_it_ends_with_the_process_that_started_it_though_it_is_still_importing(tmp_path: Path) -> None:
    code = "import multiprocessing.forkserver as f\nfrom rsmtl import fork_server\nfork_server.start()\n"
    pid = int(_python(f"{code}print(f._forkserver._forkserver_pid)", tmp_path))
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=20)
    assert not psutil.pid_exists(pid)
