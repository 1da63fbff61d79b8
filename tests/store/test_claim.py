"""Of two runs of one scene one works, and the other says so; who dies lets go."""

import errno
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rsmtl.errors import RunError
from rsmtl.store import claim
from rsmtl.store.claim import claimed

HOLD = """
import sys
from pathlib import Path
from rsmtl.store.claim import claimed
with claimed(Path(sys.argv[1])):
    print("mine", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "mine\n"
    return process


def test_a_second_run_says_who_is_at_work_and_whoever_is_killed_lets_go(tmp_path: Path) -> None:
    with holder(tmp_path / "scene") as first:
        with pytest.raises(RunError) as refused, claimed(tmp_path / "scene"):
            pass
        assert str(refused.value) == (
            f"process {first.pid} on {os.uname().nodename} is at work on {tmp_path / 'scene'}: wait until it has "
            "ended, or give another output folder"
        )
        first.kill()
    with claimed(tmp_path / "scene"):
        pass
    assert list((tmp_path / "scene").iterdir()) == []


def test_a_run_that_ends_lets_go(tmp_path: Path) -> None:
    with holder(tmp_path) as first:
        first.stdin.close()
    for _ in range(2):
        with claimed(tmp_path) as check:
            check()
    assert list(tmp_path.iterdir()) == []


def test_many_runs_at_once_are_one_at_a_time(tmp_path: Path) -> None:
    """Each tries until it has the claim; two at the same time would find each other's file."""
    code = """
import sys
from pathlib import Path
from rsmtl.errors import RunError
from rsmtl.store.claim import claimed
folder, done = Path(sys.argv[1]), 0
while done < 50:
    try:
        with claimed(folder / "scene"):
            (folder / "alone").open("x").close()
            (folder / "alone").unlink()
            done += 1
    except RunError:
        pass
"""
    racing = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(3)]
    assert [process.wait(120) for process in racing] == [0, 0, 0]


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that knows no locks, as some network file systems are mounted."""

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_without_locks_a_lease_is_renewed_and_given_back(tmp_path: Path, no_locks, monkeypatch) -> None:
    monkeypatch.setattr(claim, "LEASE_S", 0.4)
    with claimed(tmp_path) as check:
        lease = tmp_path / "lease.json"
        first = lease.stat().st_mtime_ns
        while (
            lease.stat().st_mtime_ns == first
        ):  # ends when the lease is renewed, or by the test's time limit
            pass
        check()
        monkeypatch.setattr(claim, "LEASE_S", 60.0)
        said = rf"process {os.getpid()} on .* is at work on {tmp_path}: wait until"
        with pytest.raises(RunError, match=said), claimed(tmp_path):
            pass
    assert list(tmp_path.iterdir()) == []


def test_an_old_lease_is_taken_over_and_its_owner_stops(tmp_path: Path, no_locks, monkeypatch) -> None:
    monkeypatch.setattr(claim, "LEASE_S", 0.4)

    def lose() -> None:
        with claimed(tmp_path) as check:
            (tmp_path / "lease.json").write_text(json.dumps({"host": "elsewhere", "pid": 17, "run": "x"}))
            while True:  # until the owner looks at its lease again
                check()

    with pytest.raises(RunError, match="process 17 on elsewhere is at work on"):
        lose()
    assert (tmp_path / "lease.json").exists()
    os.utime(tmp_path / "lease.json", (1, 1))
    with claimed(tmp_path):
        assert json.loads((tmp_path / "lease.json").read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = r"cannot write .*/file/scene: Not a directory"
    with pytest.raises(RunError, match=said), claimed(tmp_path / "file" / "scene"):
        pass
