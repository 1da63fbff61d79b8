"""A small dose of chaos, one fault of each kind; `make chaos` has the whole. And that it would say what went wrong."""

import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from rsmtl.store.folder import ITEM_NAME, LEDGER_NAME, PROVENANCE_NAME
from tests.chaos.processes import ROOT, Processes, outlived
from tests.chaos.products import contents, differing
from tests.chaos.report import Report, broken
from tests.chaos.tally import Tally

N_KINDS, N_SCENES = 20, 3


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_whatever_dies_the_next_run_ends_with_the_same_bytes() -> None:
    words = ["--seed", "7", "--faults", str(N_KINDS), "--scenes", str(N_SCENES), "--workers", "3"]
    ran = subprocess.run(
        [sys.executable, "-m", "tests.chaos", *words], cwd=ROOT, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    figures = {what: int(figure) for what, figure in re.findall(r"│ (.+?) +│ (\d+) +│", ran.stdout)}
    assert figures["faults"] == N_KINDS
    assert figures["scenes"] == figures["products identical"] == N_SCENES
    assert figures["chunks run"] == figures["chunks"] + figures["chunks wasted"]
    assert figures["chunks wasted"] <= figures["at most (faults × chunks in flight)"]
    assert figures["orphan processes"] == figures["half products"] == 0
    assert "processes left at the end: 0" in ran.stdout


WELL = Report(
    seed=1,
    n_scenes=2,
    n_chunks=8,
    n_in_flight=4,
    faults=Counter({"flow killed": 3}),
    left_out="",
    flows=(-9, -9, -9, 0),
    verified=(0, 0),
    n_run=20,
    n_wasted=12,
    repeated={},
    differing={},
    half={},
    tracebacks=(),
    orphans=(),
    stalled="",
    seconds=1.0,
)


def test_a_report_of_promises_that_were_kept_has_no_complaint() -> None:
    assert broken(WELL) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"flows": (0, 1)}, "the last flow ended with 1"),
        ({"verified": (1, 1)}, "the last verify ended with 1"),
        ({"n_wasted": 13}, "13 chunks were wasted, at most 12 may be"),
        ({"repeated": {("a", 0, 1): 1}}, "chunks were run again though they stood: a (0, 1)"),
        ({"differing": {"a": ["run.json"]}}, "products differ from the undisturbed ones: a: run.json (1)"),
        ({"half": {"a": ["run.json"]}}, "half products passed for whole ones: a: run.json (1)"),
        ({"tracebacks": ("flow002",)}, "flows showed a traceback: flow002"),
        ({"orphans": ("17 python",)}, "processes were orphaned: 17 python"),
        ({"stalled": "nothing happened"}, "nothing happened"),
    ],
)
def test_a_promise_that_was_not_kept_is_named(change: dict[str, object], said: str) -> None:
    assert broken(replace(WELL, **change)) == [said]


def test_a_run_of_what_was_kept_counts_as_repeated_and_any_second_run_as_wasted(tmp_path: Path) -> None:
    tally = Tally(tmp_path / "witness")
    tally.read()  # before any worker has written
    (tmp_path / "witness").write_text(
        "worker worker0 17\nrun a 0 0\nrun a 0 0\nkept a 0 0\nrun a 0 1\nrun a 0 0\nrun a"
    )
    tally.read()
    assert (tally.runs.total(), tally.n_wasted, tally.workers) == (4, 2, {"worker0": 17})
    assert tally.repeated == {("a", 0, 0): 1}
    with (tmp_path / "witness").open("a") as file:
        file.write(" 7 7\n")
    tally.read()
    assert tally.runs["a", 7, 7] == 1
    tally.forget()
    assert (tally.runs.total(), tally.n_wasted, tally.workers) == (0, 0, {"worker0": 17})


def test_products_are_compared_but_for_the_clock(tmp_path: Path) -> None:
    def product(name: str, seconds: float, finished: str, n_windows: int) -> Path:
        folder = tmp_path / name
        (folder / LEDGER_NAME).mkdir(parents=True)
        run = f'{{"seconds": {seconds}, "started": "", "finished": "{finished}", "windows_run": {n_windows}}}'
        (folder / PROVENANCE_NAME).write_text(run)
        (folder / LEDGER_NAME / "0-0.json").write_text(f'{{"spans": [{seconds}], "sha256": "a"}}')
        (folder / "picture.tif").write_bytes(b"pixels")
        item = (
            f'{{"properties": {{"processing:datetime": "{finished}"}}, "assets": {{"run": {{"file:size": 1, '
        )
        (folder / ITEM_NAME).write_text(item + f'"file:checksum": "{finished}"}}}}}}')
        return folder

    expected = contents(product("first", 1.0, "yesterday", 4))
    assert differing(product("second", 2.0, "today", 4), expected) == []
    assert differing(product("third", 1.0, "yesterday", 5), expected) == [PROVENANCE_NAME]
    second = tmp_path / "second"
    (second / "picture.tif").write_bytes(b"pixelz")
    (second / ".stray.part").touch()
    assert differing(second, expected) == [".stray.part", "picture.tif"]
    (second / ITEM_NAME).unlink()
    assert differing(second, expected) == sorted(expected)


def test_a_process_that_outlives_its_parent_is_found(tmp_path: Path) -> None:
    processes = Processes(tmp_path, {})
    parent = processes.start("parent", ["sh", "-c", "sleep 60 & echo begun; wait"])
    while processes.log("parent").read_text() != "begun\n":
        assert parent.poll() is None
    parent.kill()
    parent.wait()
    (orphan,) = processes.alive()
    assert outlived([orphan], grace_s=0.1) == [orphan]
    orphan.kill()
    assert outlived([orphan], grace_s=10) == []
    assert processes.alive() == []
