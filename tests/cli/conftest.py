"""The command line, called in this process or as a process of its own, and small material for it."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rsmtl.cli import main
from tests import fakes
from tests.scene.rasters import image, write_raster

SMALL = ("--window", "64", "--overlap", "16")


@dataclass(frozen=True)
class Ended:
    """What a call left."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The last line of standard output."""
        return json.loads(self.out.splitlines()[-1])


Call = Callable[..., Ended]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Call the command line in this process."""

    def run(*words: object) -> Ended:
        capsys.readouterr()
        status = main([str(word) for word in words])
        return Ended(status, *capsys.readouterr())

    return run


def spawn(*words: object, **options: Any) -> Ended:
    """Call the command line as a shell does."""
    command = [sys.executable, "-m", "rsmtl", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, **options)
    return Ended(done.returncode, done.stdout, done.stderr)


def assert_refused(ended: Ended, out: Path, sentence: str, status: int = 2) -> None:
    """One line on standard error that holds the sentence; no traceback, and no item in the output folder."""
    assert sentence in ended.err
    assert len(ended.err.splitlines()) == 1
    assert "Traceback" not in ended.out + ended.err
    assert ended.status == status
    assert list(out.rglob("item.json")) == []


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint of a small U-REC with random weights: three bands, 11 bits."""
    return fakes.random_checkpoint(tmp_path_factory.mktemp("model") / "random.safetensors")


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """Three bands, 150×170 pixels: 12 windows as `SMALL` has them."""
    return write_raster(tmp_path / "scene.tif", image(3, 150, 170))
