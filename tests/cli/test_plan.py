"""`rsmtl plan`: figures before anything runs, and a refusal of what does not fit."""

import shutil
from importlib import import_module
from pathlib import Path

import pytest

from tests.cli.conftest import SMALL, Call, assert_refused
from tests.scene.rasters import asset, image, write_catalog, write_item, write_raster


def test_figures_by_hand(call: Call, scene: Path, model: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    ended = call("plan", scene, "--model", model, *SMALL, "--chunk", 2, "--json")
    found = ended.json["scenes"][0]
    assert ended.status == 0
    assert found["result"] == "fits"
    assert (found["n_windows"], found["n_chunks"]) == (12, 4)  # 3 × 4 windows in 2 × 2 chunks of 2 × 2
    assert (found["height_px"], found["width_px"], found["chunk_px"]) == (150, 170, 96)
    assert found["windows_per_px"] == 12 * 64 * 64 / (150 * 170)
    assert found["written_bytes"] == 150 * 170  # classes; the reconstruction is no product
    assert found["read_bytes"] == (96 + 16 + 150 - 96) * (96 + 16 + 170 - 96) * 3 * 2
    assert 0 < found["worker_bytes"] < found["slot_bytes"]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_table_of_each_scene_and_their_total(call: Call, scene: Path, model: Path, tmp_path: Path) -> None:
    other = write_raster(tmp_path / "other.tif", image(3, 64, 64))
    shown = call("plan", scene, other, "--model", model, *SMALL, "--chunk", 2).out
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert "scene" in lines
    assert "size 150 × 170 px, 25,500 px" in lines
    assert "windows 12 of 64 px with 16 px overlap and a margin of 0 px" in lines
    assert "work 1.93 windows per pixel" in lines
    assert "chunks 4 of 96 px" in lines
    assert "read 180.91 kiB" in lines
    assert "verdict fits" in lines
    assert lines[-1].startswith("2 scenes: 13 windows, ")


def test_what_is_chosen_is_said_and_why(call: Call, scene: Path, model: Path) -> None:
    shown = call("plan", scene, "--model", model, "--batch", 2).out
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert "windows 1 of 192 px with 24 px overlap and a margin of 0 px" in lines
    assert "window 192 px (chosen: one window holds the scene)" in lines
    assert "overlap 24 px (chosen: 1/8 of the window)" in lines
    assert "chunk 1 strides (chosen: the scene has few windows)" in lines
    assert not any(line.startswith("batch") for line in lines)
    found = call("plan", scene, "--model", model, *SMALL, "--chunk", 2, "--json").json["scenes"][0]
    sizes = found["window_px"], found["overlap_px"], found["chunk"], found["batch"]
    assert (sizes, sorted(found["why"])) == ((64, 16, 2, 1), ["batch", "margin"])


def test_what_does_not_fit_is_refused(call: Call, scene: Path, model: Path) -> None:
    ended = call("plan", scene, "--model", model, "--batch", 100_000, "--json")
    assert_refused_plan = "one job is projected to need"
    assert assert_refused_plan in ended.err
    assert ended.status == 2
    assert ended.json["scenes"][0]["result"] == "refused"
    assert ended.json["scenes"][0]["worker_bytes"] > ended.json["scenes"][0]["slot_bytes"]


def test_a_scene_that_the_model_cannot_take(call: Call, model: Path, tmp_path: Path) -> None:
    two_bands = write_raster(tmp_path / "two.tif", image(2, 64, 64))
    assert_refused(call("plan", two_bands, "--model", model), tmp_path, "takes 3 bands")


@pytest.mark.cluster
def test_the_memory_of_the_workers_that_would_run(call: Call, scene: Path, model: Path) -> None:
    alone, shared = (
        call("plan", scene, "--model", model, *SMALL, "--workers", n, "--json").json["scenes"][0][
            "slot_bytes"
        ]
        for n in (1, 2)
    )
    assert 0.4 < shared / alone < 0.6


def test_of_many_scenes_those_after_the_first_have_a_line(
    call: Call, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        import_module("rsmtl.cli.plan"), "IN_FULL", 1
    )  # the package has a function of that name
    write_raster(tmp_path / "a.tif", image(3, 64, 64))
    for k in range(3):
        write_item(tmp_path, {"a": asset("a.tif")}, f"s-{k}")
    (tmp_path / "ugly.json").write_text("{")
    shutil.copy(tmp_path / "s-1.json", tmp_path / "namesake.json")
    catalogue = write_catalog(
        tmp_path, ("s-0.json", "ugly.json", "s-1.json", "s-1.json", "namesake.json", "s-2.json")
    )
    ended = call("plan", catalogue, "--model", model, *SMALL)
    lines = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert "verdict fits" in lines
    assert lines[-3:] == [
        "s-1: 1 windows, 4 chunks, 37.50 kiB read, 4.00 kiB written, fits",
        "s-2: 1 windows, 4 chunks, 37.50 kiB read, 4.00 kiB written, fits",
        "3 scenes: 3 windows, 112.50 kiB read, 12.00 kiB written",
    ]
    assert ["ugly" in ended.err, "has the same id as" in ended.err, ended.status] == [True, True, 2]


@pytest.mark.cluster
def test_worker_processes_plan_the_same(call: Call, model: Path, tmp_path: Path) -> None:
    write_raster(tmp_path / "a.tif", image(3, 64, 64))
    for k in range(3):
        write_item(tmp_path, {"a": asset("a.tif")}, f"s-{k}")
    (tmp_path / "ugly.json").write_text("{")
    catalogue = write_catalog(tmp_path, ("s-0.json", "s-1.json", "ugly.json", "s-2.json"))
    common = ("plan", catalogue, "--model", model, *SMALL, "--json")
    here, there = call(*common).json, call(*common, "--workers", 1).json
    for found in (*here["scenes"], *there["scenes"]):  # how much memory there is, is of the process
        found.pop("worker_bytes", None), found.pop("slot_bytes", None)
    assert here["scenes"] == there["scenes"]
    assert here["errors"] == there["errors"]
    assert [found["result"] for found in here["scenes"]] == ["fits", "fits", "failed", "fits"]
