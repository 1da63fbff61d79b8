"""The flow over a catalogue: each scene for itself, what stands is left, what may pass is tried again."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import rasterio
from affine import Affine
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.client.schemas.objects import State, TaskRun
from pydantic import ValidationError

from flows.command_line import run_command
from flows.process_catalogue import CatalogueRun, main, process_catalogue
from flows.scene_table import SceneRow
from rsmtl.config import Settings
from rsmtl.errors import InputError, RunError
from rsmtl.scene.search import Search
from rsmtl.store.folder import ITEM_NAME
from rsmtl.store.ledger import Ledger
from rsmtl.synthetic.catalogue import write_catalogue
from tests import fakes

ROOT = Path(__file__).parents[2]
SETTINGS = Settings(window=64, overlap=16, chunk=1)
GOOD, BROKEN = "landscape-0001", "landscape-0002"


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """Two scenes of 128² pixels."""
    return write_catalogue(tmp_path / "catalogue", n_scenes=2, size_px=128, seed=3)


@pytest.fixture
def run(
    catalogue: Path, tmp_path: Path, model_path: Path, scheduler: str, prefect_server: None
) -> CatalogueRun:
    return CatalogueRun(
        catalogue=str(catalogue),
        model=str(model_path),
        out=str(tmp_path / "products"),
        assets=["hrms"],
        settings=SETTINGS,
        scheduler=scheduler,
        retries=2,
        retry_delay_s=0.1,
    )


def cut_off(path: Path) -> None:
    """Leave nothing of a file but its first bytes."""
    os.truncate(path, 100)


def identity(path: Path) -> tuple[int, int]:
    """What changes when a file is written again."""
    stat = path.stat()
    return stat.st_ino, stat.st_mtime_ns


def rows_of(state: State) -> dict[str, SceneRow]:
    return {row.scene: row for row in state.result()}


def table_of(state: State) -> str:
    """The artifact of a run of the flow, as the server keeps it."""
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[state.state_details.flow_run_id]))
    with get_client(sync_client=True) as client:
        (artifact,) = client.read_artifacts(artifact_filter=of_run)
    assert artifact.key == "scenes"
    return str(artifact.data)


def steps_of(state: State) -> dict[str, TaskRun]:
    of_run = FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id]))
    with get_client(sync_client=True) as client:
        return {step.name: step for step in client.read_task_runs(flow_run_filter=of_run)}


@contextmanager
def when_a_retry_waits(act: Callable[[], None]) -> Iterator[None]:
    """Act between a step's failure and its next attempt, when Prefect says that there will be one."""

    class Watch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "Retry 1/2 will start" in record.getMessage():
                act()

    watch, logger = Watch(), logging.getLogger("prefect.task_runs")
    logger.addHandler(watch)
    try:
        yield
    finally:
        logger.removeHandler(watch)


def test_a_broken_scene_fails_alone_and_is_named(run: CatalogueRun, catalogue: Path) -> None:
    cut_off(catalogue.parent / GOOD / "pan.tif")  # an asset nobody asks for
    cut_off(catalogue.parent / BROKEN / "hrms.tif")

    state = process_catalogue(run, return_state=True)

    assert state.is_failed()
    assert state.message.startswith(f"1 of 2 scenes failed: {BROKEN}: ")
    assert "cannot be opened as a raster" in state.message
    assert (run.folder / GOOD / ITEM_NAME).exists()
    assert not (run.folder / BROKEN).exists()
    table = table_of(state)
    assert f"| {GOOD} | written | 9 | " in table
    assert f"| {BROKEN} | failed |" in table
    assert table.count("](data:image/jpeg;base64,") == 1
    assert f"- **{BROKEN}**: " in table
    assert steps_of(state)[BROKEN].run_count == 1, "wrong input is not tried again"
    with pytest.raises(RunError, match="1 of 2 scenes failed"):
        state.result()


def test_what_stands_is_left_and_what_was_mended_is_made(run: CatalogueRun, catalogue: Path) -> None:
    image = catalogue.parent / BROKEN / "hrms.tif"
    whole = image.read_bytes()
    cut_off(image)
    process_catalogue(run, return_state=True)
    stood = identity(run.folder / GOOD / ITEM_NAME)

    image.write_bytes(whole)
    state = process_catalogue(run, return_state=True)

    rows = rows_of(state)
    assert [rows[GOOD].result, rows[BROKEN].result] == ["stood already", "written"]
    assert identity(run.folder / GOOD / ITEM_NAME) == stood
    assert rows[GOOD].n_windows == rows[BROKEN].n_windows == 9
    assert rows[GOOD].n_px == 128 * 128
    assert f"| {GOOD} | stood already | 9 | " in table_of(state)


def test_overwriting_makes_what_stands_anew(run: CatalogueRun) -> None:
    process_catalogue(run, return_state=True)
    stood = identity(run.folder / GOOD / ITEM_NAME)
    state = process_catalogue(run.model_copy(update={"overwrite": True}), return_state=True)
    assert {row.result for row in state.result()} == {"written"}
    assert identity(run.folder / GOOD / ITEM_NAME) != stood


def test_a_disk_that_comes_back_is_worth_a_retry(run: CatalogueRun) -> None:
    run.folder.mkdir()
    in_the_way = run.folder / GOOD
    in_the_way.write_text("not a folder")
    with when_a_retry_waits(in_the_way.unlink):
        state = process_catalogue(run, return_state=True)
    assert rows_of(state)[GOOD].result == "written"
    assert steps_of(state)[GOOD].run_count == 2
    assert steps_of(state)[BROKEN].run_count == 1


def test_a_retry_takes_up_what_is_finished(run: CatalogueRun, tmp_path: Path, served: str) -> None:
    image, block = compressed_tiff(tmp_path / "flickering.tif")
    whole, stat = image.read_bytes(), image.stat()
    broken = bytearray(whole)
    broken[block] = bytes(block.stop - block.start)
    image.write_bytes(broken)  # one of the last windows cannot be read
    os.utime(image, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # a server tells size and time, no more
    finished: dict[str, int] = {}

    def mend() -> None:
        marks = (run.folder / "flickering" / "ledger" / "chunks").iterdir()
        finished.update({mark.name: mark.stat().st_mtime_ns for mark in marks})
        image.write_bytes(whole)
        os.utime(image, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    with when_a_retry_waits(mend):
        state = process_catalogue(
            run.model_copy(update={"catalogue": f"{served}/{image.name}", "assets": None, "resume": False}),
            return_state=True,
        )

    assert rows_of(state)["flickering"].result == "written"
    folder = run.folder / "flickering"
    marks = {mark.name: mark.stat().st_mtime_ns for mark in (folder / "ledger" / "chunks").iterdir()}
    assert 10 < len(finished) < len(marks) == len(Ledger(folder).done())
    assert finished.items() <= marks.items(), "a finished chunk was run again"


def test_a_disk_that_stays_away_fails_the_scene(run: CatalogueRun) -> None:
    run.folder.mkdir()
    (run.folder / GOOD).write_text("not a folder")
    state = process_catalogue(run, return_state=True)
    assert state.message.startswith(f"1 of 2 scenes failed: {GOOD}: cannot write")
    assert (run.folder / BROKEN / ITEM_NAME).exists()
    assert steps_of(state)[GOOD].run_count == 3


def test_two_scenes_of_one_id_do_not_share_a_folder(run: CatalogueRun, catalogue: Path) -> None:
    item = catalogue.parent / BROKEN / f"{BROKEN}.json"
    item.write_text(item.read_text().replace(f'"id": "{BROKEN}"', f'"id": "{GOOD}"'))
    state = process_catalogue(run.model_copy(update={"overwrite": True}), return_state=True)
    assert state.message.startswith(f"1 of 2 scenes failed: {BROKEN}: {item} has the same id as")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"catalogue": "/nowhere/catalog.json"}, "does not exist"),
        ({"model": "urec-of-nowhere"}, "there is no model"),
        pytest.param({"scheduler": "tcp://127.0.0.1:1"}, "no Dask scheduler answers", marks=pytest.mark.slow),
    ],
)
def test_what_nothing_can_be_begun_with_is_said_in_a_sentence(
    run: CatalogueRun, change: dict[str, str], said: str
) -> None:
    state = process_catalogue(run.model_copy(update=change), return_state=True)
    assert state.is_failed()
    assert said in state.message
    with pytest.raises(InputError, match=said):
        state.result()


def test_parameters_come_back_from_json_as_they_were() -> None:
    search = Search(since="2024-01-01", until="2024-01-31", bbox=(8, 45, 9, 46), collections=("a",))
    assets = {"pan": ["pan"], "ms": ["red"]}
    run = CatalogueRun(
        catalogue="c", model="m", out="s3://b/p", assets=assets, search=search, settings=SETTINGS
    )
    assert CatalogueRun.model_validate_json(run.model_dump_json()) == run


def test_one_cluster_is_asked_for() -> None:
    with pytest.raises(ValidationError, match="give one of them"):
        CatalogueRun(catalogue="c", model="m", out="o", workers=2, scheduler="tcp://127.0.0.1:8786")


@pytest.mark.slow
def test_the_command_runs_without_a_server(catalogue: Path, model_path: Path, tmp_path: Path) -> None:
    cut_off(catalogue.parent / BROKEN / "hrms.tif")
    words = [str(catalogue), "--model", str(model_path), "--out", str(tmp_path / "out"), "--assets", "hrms"]
    sizes = ["--window", "64", "--overlap", "16", "--workers", "1"]

    ran = command(tmp_path, *words, *sizes)

    assert ran.returncode == 1, ran.stderr
    assert [line for line in ran.stderr.splitlines() if line.startswith(f"1 of 2 scenes failed: {BROKEN}: ")]
    assert "dashboard: http://127.0.0.1:" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert (tmp_path / "out" / GOOD / ITEM_NAME).exists()
    assert (tmp_path / "out" / ".prefect" / "prefect.db").exists()
    assert not list((tmp_path / "home").rglob("*.*db*")), "the home folder was littered"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["c.json", "--model", "m", "--out", "o", "--workers", "2", "--scheduler", "tcp://x:1"],
            "give one of them",
        ),
        (["c.json", "--model", "m", "--out", "o", "--window", "0"], "the settings are wrong: window"),
        (["c.json", "--out", "o"], "Missing option '--model'; see --help"),
    ],
)
def test_the_command_refuses_wrong_options(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(main, words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


@pytest.mark.slow
def test_ctrl_c_ends_the_command_and_all_it_started(
    catalogue: Path, model_path: Path, tmp_path: Path
) -> None:
    words = [str(catalogue), "--model", str(model_path), "--out", str(tmp_path / "out"), "--assets", "hrms"]
    with subprocess.Popen(
        [sys.executable, "-m", "flows.process_catalogue", *words, "--workers", "1", "--window", "64"],
        **surroundings(tmp_path),
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as started:
        assert started.stderr is not None
        for line in started.stderr:
            if "dashboard: " in line:
                members = [p for p in psutil.process_iter() if _group(p.pid) == started.pid]
                os.killpg(started.pid, signal.SIGINT)  # as a terminal does
                break
        said = started.stderr.read()
    assert started.returncode == 130, said
    assert "interrupted; give the same command again to go on" in said.splitlines()
    assert "Traceback" not in said
    assert len(members) >= 3, "the command, the server, a worker"
    assert psutil.wait_procs(members, timeout=60)[1] == []


def _group(pid: int) -> int | None:
    """Return a process's group; None if it has ended meanwhile."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


@pytest.mark.slow
def test_a_server_that_dies_for_good_is_said_in_a_sentence(
    catalogue: Path, model_path: Path, tmp_path: Path
) -> None:
    words = [str(catalogue), "--model", str(model_path), "--out", str(tmp_path / "out"), "--assets", "hrms"]
    told = surroundings(tmp_path)
    told["env"] |= {"PREFECT_CLIENT_MAX_RETRIES": "0", "PREFECT_EVENTS_WORKER_MAX_QUEUE_SIZE": "1"}  # sooner
    words += ["--window", "64", "--overlap", "16", "--workers", "1"]
    with subprocess.Popen(
        [sys.executable, "-m", "flows.process_catalogue", *words],
        **told,
        stderr=subprocess.PIPE,
    ) as started:
        assert started.stderr is not None
        for line in started.stderr:
            if f"{GOOD}: written" in line:
                for child in psutil.Process(started.pid).children():
                    if "uvicorn" in child.cmdline():
                        child.kill()
                break
        said = started.stderr.read()
    assert started.returncode == 1
    assert "2 of 2 scenes have their product" in said
    (sentence,) = [line for line in said.splitlines() if line.startswith("Prefect's server is gone (")]
    assert sentence.endswith("see to the server, and give the same command again")

    again = command(tmp_path, *words)
    assert again.returncode == 0, again.stderr
    assert ": written" not in again.stderr


def command(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user without any configuration would."""
    return subprocess.run(
        [sys.executable, "-m", "flows.process_catalogue", *words],
        **surroundings(home),
        capture_output=True,
        timeout=240,
    )


def surroundings(home: Path) -> dict[str, Any]:
    (home / "home").mkdir(exist_ok=True)
    unset = ("PREFECT_", "DO_NOT_TRACK", "DASK_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(unset)}
    return {"cwd": ROOT, "env": {**env, "HOME": str(home / "home")}, "text": True}


def compressed_tiff(path: Path) -> tuple[Path, slice]:
    """Write a GeoTIFF in compressed blocks of 16², and say where in the file one lies that no sample of it reads."""
    values = np.random.default_rng(0).integers(1, 2048, (3, 64, 1024), dtype=np.uint16)
    options = {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}
    transform = Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)
    with rasterio.open(
        path, "w", "GTiff", 1024, 64, 3, dtype="uint16", crs=fakes.CRS, transform=transform, **options
    ) as file:
        file.write(values)
    with rasterio.open(path) as file:
        begin, size = (
            int(file.get_tag_item(f"BLOCK_{what}_56_1", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE")
        )
    return path, slice(begin, begin + size)
