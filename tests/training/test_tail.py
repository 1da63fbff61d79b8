"""Following a log that grows, is cut off, and grows again."""

import json
from pathlib import Path
from typing import Any

from rsmtl.training.folder import LOG_NAME
from rsmtl.training.tail import Tail


def line(step: int) -> str:
    return json.dumps({"kind": "step", "step": step}) + "\n"


def test_what_is_new_is_reported_once(tmp_path: Path) -> None:
    log = tmp_path / LOG_NAME
    log.write_text(line(0))
    seen: list[Any] = []
    tail = Tail(tmp_path, lambda record: seen.append(record["step"]))
    tail.read()
    assert seen == []  # it stood before
    log.write_text(line(0) + line(1) + line(2)[:9])
    tail.read()
    assert seen == [1]  # half a line is for later
    log.write_text(line(0) + line(1) + line(2))
    tail.read()
    tail.read()
    assert seen == [1, 2]
    log.write_text(line(0))  # cut off at the last checkpoint
    tail.read()
    log.write_text(line(0) + line(1))
    tail.read()
    assert seen == [1, 2, 1]
    assert tail.n_reported == 3


def test_a_log_that_is_not_there_yet(tmp_path: Path) -> None:
    seen: list[Any] = []
    tail = Tail(tmp_path, lambda record: seen.append(record["step"]))
    tail.read()
    (tmp_path / LOG_NAME).write_text(line(0))
    tail.read()
    assert seen == [0]
