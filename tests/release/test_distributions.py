"""What is published: a complete source distribution, and a wheel that works away from its sources."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

import rsmtl

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The source distribution, and the wheel that is built from it."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=240)
    (source,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return source, wheel


def _tracked(*under: str) -> set[str]:
    listed = subprocess.run(["git", "ls-files", "-z", *under], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("needs a git checkout, to know what belongs to the project")
    return {name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).exists()}


@pytest.mark.slow
def test_source_distribution_has_every_file_of_the_project(distributions: tuple[Path, Path]) -> None:
    with tarfile.open(distributions[0]) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    assert _tracked() - packed <= {".ci/run", ".gitignore"}


@pytest.mark.slow
def test_wheel_has_the_package_whole_and_nothing_else(distributions: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(distributions[1]) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert _tracked("rsmtl") <= packed
    assert {name.split("/")[0] for name in packed} == {"rsmtl"}
    assert "rsmtl/py.typed" in packed
    assert {Path(name).suffix for name in packed}.isdisjoint({".orig", ".rej", ".bak", ".pyc"})


@pytest.mark.slow
def test_wheel_runs_the_demo_away_from_the_sources(distributions: tuple[Path, Path], tmp_path: Path) -> None:
    home = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", home]
    subprocess.run([*install, distributions[1]], check=True, timeout=120)
    environment = os.environ | {"PYTHONPATH": str(home)}

    def run(*words: str) -> str:
        options = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "timeout": 240}
        return subprocess.run([sys.executable, *words], check=True, **options).stdout

    assert run("-c", "import rsmtl; print(rsmtl.__file__)").startswith(str(home))
    small = "from rsmtl import cli, demo; demo.SIZE_PX = 300; raise SystemExit(cli.main(['demo', '--out', 'demo']))"
    assert "mean IoU" in run("-c", small)
    assert len(list((tmp_path / "demo" / "products").glob("*/item.json"))) > 0
    assert run("-m", "rsmtl", "--version").split() == ["rsmtl", rsmtl.__version__]


def test_version_is_the_same_everywhere() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert cited["version"] == rsmtl.__version__ == newest[1]
