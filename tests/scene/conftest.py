"""Fixtures of the scene tests."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVER = Path(__file__).with_name("server.py")


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of a web server over `tmp_path`, ended with the test."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with subprocess.Popen([sys.executable, SERVER, tmp_path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.kill()
