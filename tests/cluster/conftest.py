"""Recipes that are started as commands, a product made on their clusters, and what must be left when they end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import psutil
import pytest
import yaml
from distributed import Client

from cluster.access import ADDRESS, CONFIG
from rsmtl.cli import main
from rsmtl.dispatch.executors import workers_of
from tests import fakes
from tests.chaos.products import contents, differing
from tests.cluster.told import surroundings
from tests.scene.rasters import image, write_raster

ROOT = Path(__file__).parents[2]
START_S = 120.0
END_S = 30.0


@dataclass(frozen=True)
class Standing:
    """A cluster that a recipe has brought up."""

    recipe: "subprocess.Popen[str]"
    folder: Path
    """Of its certificate and address."""

    @property
    def address(self) -> str:
        """Of the scheduler."""
        return (self.folder / ADDRESS).read_text().strip()

    def certificate(self) -> AbstractContextManager[None]:
        """What DASK_CONFIG does for a process that begins."""
        told = yaml.safe_load((self.folder / CONFIG).read_text())
        return dask.config.set(dask.config.merge(dask.config.config, told))

    @contextmanager
    def client(self, n_workers: int) -> Iterator[Client]:
        """Connect as whoever can read the folder does, when so many workers are there."""
        with self.certificate(), Client(self.address) as client:
            client.wait_for_workers(n_workers, timeout=START_S)
            yield client

    def processes(self) -> list[psutil.Process]:
        """The recipe with its children, and the workers with their nannies, wherever they run."""
        with self.client(1) as client:
            workers = [psutil.Process(pid) for pid in client.run(os.getpid).values()]
        found = [psutil.Process(self.recipe.pid), *workers, *(worker.parent() for worker in workers)]
        return [*found, *psutil.Process(self.recipe.pid).children(recursive=True)]

    def ends(self, number: signal.Signals, processes: list[psutil.Process]) -> int:
        """Send the recipe's process group a signal, as a terminal does, and wait until everything has ended."""
        os.killpg(self.recipe.pid, number)
        status = self.recipe.wait(END_S)
        _, alive = psutil.wait_procs(processes, END_S)
        assert alive == []
        return status


Recipe = Callable[..., Standing]


@pytest.fixture
def recipe(tmp_path: Path) -> Iterator[Recipe]:
    """Start recipes as commands; whatever becomes of the test, they are ended."""
    with ExitStack() as stack:

        def start(name: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Standing:
            folder = tmp_path / "access"
            process = subprocess.Popen(
                [sys.executable, "-m", f"cluster.{name}", *arguments, "--access", str(folder)],
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
                stdout=(tmp_path / "said").open("w"),
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            stack.callback(_kill, process)
            wait_for((folder / ADDRESS).exists, process, tmp_path / "said")
            return Standing(process, folder)

        yield start


def _kill(process: "subprocess.Popen[str]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_for(happened: Callable[[], bool], process: "subprocess.Popen[str] | None", said: Path) -> None:
    """Wait until something has happened; fail if a process ends, or after a time that only a hang takes."""
    deadline = time.monotonic() + START_S
    while not happened():
        assert process is None or process.poll() is None, said.read_text()
        assert time.monotonic() < deadline, said.read_text()
        time.sleep(0.05)


@dataclass(frozen=True)
class Material:
    """A scene, a model, and the product that threads of one process make of them."""

    scene: Path
    model: Path
    expected: dict[str, str]

    def predict(self, out: Path, *where: str) -> None:
        """Make the product elsewhere."""
        words = ["predict", str(self.scene), "--model", str(self.model), "--out", str(out), *where]
        assert main([*words, "--window", "64", "--overlap", "16", "--chunk", "1", "--json"]) == 0

    def made_on(self, standing: Standing, out: Path) -> None:
        """Make it on a cluster; it must be the same bytes."""
        with standing.certificate():
            self.predict(out, "--scheduler", standing.address)
        assert differing(out / "scene", self.expected) == []


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = tmp_path_factory.mktemp("material")
    scene = write_raster(folder / "scene.tif", image(3, 150, 170))
    model = fakes.random_checkpoint(folder / "random.safetensors")
    Material(scene, model, {}).predict(folder / "out")
    return Material(scene, model, contents(folder / "out" / "scene"))


def workers_on(client: Client) -> list[dict[str, Any]]:
    """What the scheduler knows of each worker, and what it tells of itself."""
    told = client.run(surroundings)
    return [{**worker, **told[address]} for address, worker in workers_of(client).items()]
