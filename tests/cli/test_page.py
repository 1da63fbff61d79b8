"""`rsmtl report`, and the log of `rsmtl predict`."""

import json
from pathlib import Path

from tests.cli.conftest import SMALL, Call, assert_refused
from tests.scene.rasters import image, write_raster


def test_a_run_its_log_and_its_page(call: Call, scene: Path, model: Path, tmp_path: Path) -> None:
    two_bands = write_raster(tmp_path / "two.tif", image(2, 64, 64))
    out, log = tmp_path / "out", tmp_path / "log.jsonl"
    ended = call(
        "predict", scene, two_bands, "--model", model, "--out", out, *SMALL, "--chunk", 2, "--log", log
    )
    assert ended.status == 2
    assert len(ended.err.splitlines()) == 1  # the sentence of the scene that failed, and nothing of the log
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    events = [line["event"] for line in lines]
    assert events[:2] == ["run begun", "scene begun"]
    assert events[-3:] == ["scene finished", "scene failed", "run ended"]
    begun = lines[1]
    assert (begun["scene"], begun["n_windows"], begun["n_chunks"], begun["n_px"]) == (
        "scene",
        12,
        4,
        150 * 170,
    )
    done = [line for line in lines if line["event"] == "chunk finished"]
    assert sorted(line["chunk"] for line in done) == ["0-0", "0-1", "1-0", "1-1"]
    assert sum(line["px"] for line in done) == 150 * 170
    assert sum(line["windows_run"] for line in lines if line["event"].startswith("chunk")) == 12
    assert all(line["worker"] and line["scene"] == "scene" and line["seconds"] for line in done)
    failed = lines[-2]
    assert (failed["scene"], failed["level"], failed["error"]) == ("two", "error", "SceneError")
    assert failed["reason"] in ended.err
    assert (lines[-1]["exit_status"], lines[-1]["n_failed"]) == (2, 1)

    shown = call("report", out, "--json")
    assert (shown.status, shown.json["report"]) == (0, str(out / "report.html"))
    assert "scene" in (out / "report.html").read_text()


def test_a_log_that_cannot_be_written_is_refused(
    call: Call, scene: Path, model: Path, tmp_path: Path
) -> None:
    log = tmp_path / "no" / "log.jsonl"
    ended = call("predict", scene, "--model", model, "--out", tmp_path / "out", *SMALL, "--log", log)
    assert_refused(ended, tmp_path / "out", f"cannot write the log {log}")


def test_a_folder_without_products_is_refused(call: Call, tmp_path: Path) -> None:
    assert_refused(call("report", tmp_path), tmp_path, "holds no product")
