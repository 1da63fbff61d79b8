"""Events reach the file that was asked for, one line each, and nobody else."""

import json
import logging
from pathlib import Path

import pytest

from rsmtl.errors import InputError, RunError
from rsmtl.logs import log_to, tell, tell_failed

LOG = logging.getLogger("rsmtl.tests")


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_event_is_a_line_of_json_with_its_fields(tmp_path: Path) -> None:
    with log_to(tmp_path / "log.jsonl"):
        tell(LOG, "chunk finished", scene="a\nb", chunk="1-2", seconds={"model": 0.5})
        tell_failed(LOG, "c", RunError("the disk\nis full"))
    finished, failed = lines(tmp_path / "log.jsonl")
    assert finished.pop("time").endswith("+00:00")
    assert finished == {
        "level": "info",
        "logger": "rsmtl.tests",
        "event": "chunk finished",
        "scene": "a\nb",
        "chunk": "1-2",
        "seconds": {"model": 0.5},
    }
    assert (failed["level"], failed["event"], failed["scene"]) == ("error", "scene failed", "c")
    assert (failed["error"], failed["reason"]) == ("RunError", "the disk is full")


def test_other_handlers_get_the_fields_as_attributes_and_a_message(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rsmtl")
    tell(LOG, "chunk run", chunk="0-0", windows_run=3)
    (record,) = caplog.records
    assert (record.event, record.chunk, record.windows_run) == ("chunk run", "0-0", 3)
    assert record.getMessage() == 'chunk run chunk="0-0" windows_run=3'


@pytest.fixture(autouse=True)
def _nobody_else_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect, which other tests of this process may have started, prints what reaches the root logger."""
    monkeypatch.setattr(logging.root, "handlers", [])


def test_the_file_hears_what_is_silenced_elsewhere_and_others_stay_silent(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with log_to(tmp_path / "log.jsonl"):
            tell(LOG, "run begun")
            logging.getLogger("some.library").critical("something happened")
        tell(LOG, "nobody listens", level=logging.ERROR)
    finally:
        logging.disable(before)
    assert [line["event"] for line in lines(tmp_path / "log.jsonl")] == ["run begun"]
    assert capfd.readouterr() == ("", "")


def test_a_log_is_continued_and_leaves_logging_as_it_was(tmp_path: Path) -> None:
    root = logging.getLogger("rsmtl")
    before = root.level, list(root.handlers)
    for _ in range(2):
        with log_to(tmp_path / "log.jsonl"):
            tell(LOG, "run begun")
    assert len(lines(tmp_path / "log.jsonl")) == 2
    assert (root.level, root.handlers) == before


def test_the_error_that_ends_a_run_is_in_its_log(tmp_path: Path) -> None:
    with pytest.raises(InputError), log_to(tmp_path / "log.jsonl"):
        raise InputError("there is no such model: give another")
    (line,) = lines(tmp_path / "log.jsonl")
    assert (line["event"], line["reason"]) == ("run failed", "there is no such model: give another")


def test_a_full_disk_ends_the_log_and_not_the_run(capfd: pytest.CaptureFixture[str]) -> None:
    with log_to(Path("/dev/full")):
        tell(LOG, "run begun")
    assert capfd.readouterr() == ("", "")


def test_a_file_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(
            InputError, match=r"cannot write the log .*\(No such file or directory\): give another"
        ),
        log_to(tmp_path / "nowhere" / "log.jsonl"),
    ):
        pass


def test_urls_lose_what_may_be_a_secret(tmp_path: Path) -> None:
    told = "cannot read https://me:word@host/a.tif?se=2026-01-01T00:00:00Z&sig=abc%2F, nor s3://bucket/b.tif: mend it"
    kept = "cannot read https://host/a.tif, nor s3://bucket/b.tif: mend it"
    with log_to(tmp_path / "log.jsonl"):
        tell(LOG, "scene failed", reason=told)
    assert lines(tmp_path / "log.jsonl")[0]["reason"] == kept
    text = (tmp_path / "log.jsonl").read_text()
    assert "word" not in text
    assert "sig" not in text
