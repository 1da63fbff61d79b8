"""Environments with faults that were made on purpose: each is found, said in a sentence, and hides no other."""

import io
import json
import os
import platform
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import dask
import pytest
import s3fs
from distributed import Client

import rsmtl
from rsmtl.cli import main
from rsmtl.dispatch.connect import connect
from rsmtl.dispatch.executors import workers_of
from rsmtl.dispatch.survey import SCHEDULER, Answer, Post, Survey
from rsmtl.doctor import Wanted, examine
from rsmtl.doctor.clock import look_at_clock
from rsmtl.doctor.finding import HERE
from rsmtl.doctor.look import by_value
from rsmtl.doctor.places import Places
from tests import fakes
from tests.dispatch.certificates import identity, scheduler
from tests.doctor.cluster import AHEAD_S, UNSHARE, mounts_of_ones_own, workers_that_differ
from tests.s3.conftest import SECRET, files, s3_server, upload
from tests.scene.rasters import image, write_raster

START_S = 60.0
BUCKET = "s3://doctor"
PYTHON = platform.python_version()
NO_MOUNTS = "this machine does not let us mount a disk of our own"


@dataclass(frozen=True)
class Examined:
    """What the command told of a cluster whose workers differ."""

    client: Client
    workers: dict[str, str]
    """Addresses by name."""
    told: dict[str, Any]
    """The JSON object."""
    left: list[str]
    """What is in the output afterwards."""

    def of(self, name: str, what: str, verdict: str = "mend") -> list[str]:
        """What is told of a place, and what to do."""
        place = self.workers.get(name, name)
        return [
            f"{one['found']}: {one['todo']}"
            for one in self.told["findings"]
            if place in one["where"] and (one["what"], one["verdict"]) == (what, verdict)
        ]


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """URL of a bucket in a store that this process, and those that it starts, find by their environment."""
    with s3_server() as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        s3fs.S3FileSystem().mkdir(BUCKET)
        yield BUCKET


@pytest.fixture(scope="module")
def examined(tmp_path_factory: pytest.TempPathFactory, store: str) -> Iterator[Examined]:
    folder = tmp_path_factory.mktemp("doctor")
    ours, shared, instead = identity(folder / "certificates"), folder / "shared", folder / "instead"
    for place, width in ((shared, 64), (instead, 65)):
        (place / "out").mkdir(parents=True)
        write_raster(place / "scene.tif", image(3, 96, width))
    upload(shared, f"{store}/scenes")
    model = fakes.random_checkpoint(folder / "random.safetensors")
    sources = (f"{shared}/scene.tif", f"{store}/scenes/scene.tif")
    with (
        dask.config.set(ours.config),
        scheduler(folder, *ours.arguments) as address,
        workers_that_differ(address, folder, shared, instead, ours),
        connect(address) as client,
    ):
        client.wait_for_workers(3, timeout=START_S)
        workers = {told["name"]: one for one, told in workers_of(client).items()}
        options = ["--out", f"{shared}/out", "--model", str(model), "--scheduler", address, "--json"]
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()):
            status = main(["doctor", *sources, *options])
        told = json.loads(out.getvalue())
        assert status == told["exit_status"] == 1
        yield Examined(client, workers, told, [path.name for path in (shared / "out").iterdir()])


def test_versions_that_differ_are_named(examined: Examined) -> None:
    other, odc = examined.of("odd", "versions")
    assert other.startswith("the source of rsmtl is another one (")
    assert (
        odc == f"odc-geo is 99.9, {metadata.version('odc-geo')} here: install the same odc-geo in both places"
    )
    assert examined.of("bare", "versions") == [f"rsmtl is missing: install rsmtl {rsmtl.__version__} there"]
    (same,) = examined.of("good", "versions", "ok")
    assert same in examined.of(HERE, "versions", "ok")
    assert same in examined.of(SCHEDULER, "versions", "ok")
    assert examined.of("bare", "import") == []  # it is missing, which was said


def test_a_clock_that_is_ahead(examined: Examined) -> None:
    (found,) = examined.of("odd", "clock")
    assert found.startswith(f"{AHEAD_S}.0 s or more ahead of the one here: let NTP set the clocks")
    for place in ("good", "bare", SCHEDULER, "store"):
        assert len(examined.of(place, "clock", "ok")) == 1


def test_a_worker_with_less_memory_than_a_job_needs(examined: Examined) -> None:
    (found,) = examined.of("odd", "job")
    assert "on scene 'scene' needs" in found
    assert found.endswith(
        "a thread has 400.00 MiB: use workers with fewer threads or more memory, or a smaller `--chunk` or `--window`"
    )
    assert len(examined.of("good", "job", "ok")) == 1


def test_a_worker_without_a_nanny_is_worth_a_note(examined: Examined) -> None:
    (found,) = examined.of("odd", "nanny", "note")
    assert "nothing of Dask's starts it again" in found
    assert examined.of("good", "nanny", "note") == []
    assert examined.of("good", "allocator", "ok") == [
        "MALLOC_TRIM_THRESHOLD_=65536 is set, which rsmtl lifts for its runs: "
    ]


def test_a_store_that_one_worker_has_no_way_to(examined: Examined) -> None:
    (found,) = (one for one in examined.of("odd", "source") if BUCKET in one)
    assert found.startswith(f"'{BUCKET}/scenes/scene.tif' cannot be opened as a raster (")
    assert found.endswith(
        ": let it be reached from there: the path, the network, credentials in the environment"
    )
    assert f"{BUCKET}/scenes/scene.tif can be opened: " in examined.of("good", "source", "ok")


def test_what_a_worker_without_rsmtl_cannot_look_at_is_not_told_twice(examined: Examined) -> None:
    assert [
        one["what"] for one in examined.told["findings"] if examined.workers["bare"] in one["where"]
    ].count("source") == 0
    assert len(examined.of("bare", "memory", "ok")) == 1


def test_a_worker_with_another_disk_in_the_place_of_the_shared_one(examined: Examined) -> None:
    (shared,) = examined.of("good", "output", "ok")
    assert "can be written, read back and removed, and each sees what others write" in shared
    if not mounts_of_ones_own():
        pytest.skip(NO_MOUNTS)
    (source,) = (one for one in examined.of("odd", "source") if BUCKET not in one)
    assert "scene.tif is another file than here (" in source
    assert source.endswith("here): put the same file there, or mount the same folder")
    (output,) = examined.of("odd", "output")
    assert (
        "is another folder than the one where the command runs: neither sees what the other writes" in output
    )


def test_nothing_is_left_behind_and_no_secret_is_told(examined: Examined) -> None:
    assert examined.left == []
    assert SECRET not in json.dumps(examined.told)


def test_every_thing_to_mend_is_an_error_of_the_json_object(examined: Examined) -> None:
    n_mend = sum(one["verdict"] == "mend" for one in examined.told["findings"])
    assert len(examined.told["errors"]) == n_mend > 0
    odd = examined.workers["odd"]
    clock = next(one["message"] for one in examined.told["errors"] if one["subject"] == "clock")
    assert clock.startswith(f"{odd}: {AHEAD_S}.0 s or more ahead of the one here: let NTP")


def test_a_worker_that_is_silent_is_told_and_asked_no_more(examined: Examined) -> None:
    bare, survey = examined.workers["bare"], Survey(examined.client)
    pid = examined.client.run(os.getpid, workers=[bare])[bare]
    places = Places(survey, limit_s=0.5)
    os.kill(pid, signal.SIGSTOP)
    try:
        with by_value():
            found = places.there("clock", places.posts, look_at_clock)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert set(found) == {SCHEDULER, *examined.workers.values()} - {bare}
    (silent,) = places.findings
    assert silent.where == (bare,)
    assert silent.found.startswith("does not answer within ")
    assert bare not in {post.name for post in places.posts}


class _OtherPython:
    """A cluster whose worker has another Python, which no test can start here."""

    posts = (Post(SCHEDULER), Post("tcp://a:1"))

    def pythons(self, limit_s: float) -> dict[Post, Answer]:
        return {
            post: Answer(version, 0.0, 0.0)
            for post, version in zip(self.posts, (PYTHON, "3.99.1"), strict=True)
        }

    def ask(self, question: Any, posts: Iterable[Post], limit_s: float) -> dict[Post, Answer]:
        assert "tcp://a:1" not in {post.name for post in posts}
        return {}


def test_a_worker_with_another_python_is_sent_nothing() -> None:
    found = examine(Wanted(), cast(Survey, _OtherPython()))
    (python,) = (one for one in found if one.where == ("tcp://a:1",))
    assert python.found == f"Python is 3.99.1, {PYTHON} here, and nothing else was looked at"
    assert (python.what, python.verdict) == ("versions", "mend")


def test_a_cluster_without_workers() -> None:
    class Nobody(_OtherPython):
        posts = (Post(SCHEDULER),)

        def pythons(self, limit_s: float) -> dict[Post, Answer]:
            return {}

    found = examine(Wanted(), cast(Survey, Nobody()))
    (cluster,) = (one for one in found if one.what == "cluster")
    assert (cluster.found, cluster.verdict, cluster.where) == ("has no workers", "mend", (SCHEDULER,))


def test_a_source_that_hangs_is_told_and_the_rest_is_looked_at(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/scene.tif"
        found = examine(Wanted([url], out=f"{tmp_path}/new/out", limit_s=5.0))
    (source,) = (one for one in found if one.what == "source")
    assert (source.found, source.verdict) == ("looking took longer than 5 s", "mend")
    assert source.todo == "look at why: a disk, a server or a library hangs"
    (output,) = (one for one in found if one.what == "output")
    assert output.verdict == "ok"
    assert list(tmp_path.iterdir()) == []  # the folders that it made are gone


def test_a_store_is_written_and_left_as_it_was(store: str) -> None:
    secret = "http://me:word@127.0.0.1:9/scene.tif?X-Amz-Signature=abcdef"
    found = examine(Wanted([secret], out=f"{store}/products"))
    (output,) = (one for one in found if one.what == "output")
    assert (output.verdict, output.found) == ("ok", f"{store}/products can be written, read back and removed")
    assert files(f"{store}/products") == {}
    (clock,) = (one for one in found if one.what == "clock")
    assert (clock.where, clock.verdict) == (("store",), "ok")
    (source,) = (one for one in found if one.what == "source")
    assert "127.0.0.1:9/scene.tif" in source.found
    assert "word" not in source.found
    assert "abcdef" not in source.found


def test_a_bucket_that_is_not_there(store: str) -> None:
    found = examine(Wanted(out="s3://nobodys/products"))
    (output,) = (one for one in found if one.what == "output")
    assert output.verdict == "mend"
    assert "cannot write s3://nobodys/products/" in output.found


def test_disks_that_cannot_be_written(tmp_path: Path) -> None:
    if not mounts_of_ones_own():
        pytest.skip(NO_MOUNTS)
    (tmp_path / "only").mkdir()
    (tmp_path / "full").mkdir()
    script = """
    mount -t tmpfs -o ro tmpfs "$0/only" && mount -t tmpfs -o size=64k tmpfs "$0/full"
    cat /dev/zero >"$0/full/x" 2>/dev/null
    exec "$@"
    """
    code = (
        "import sys; from rsmtl.cli import main\n"
        "print([main(['doctor', '--json', '--out', out]) for out in sys.argv[1:]])"
    )
    doctor = [sys.executable, "-c", code, str(tmp_path / "only"), str(tmp_path / "full")]
    done = subprocess.run(
        [*UNSHARE, "sh", "-c", script, str(tmp_path), *doctor], capture_output=True, text=True, timeout=120
    )
    only, full, statuses = done.stdout.splitlines()
    assert (statuses, "Traceback" in done.stderr) == ("[1, 1]", False)
    for told, said in ((only, "Read-only file system"), (full, "No space left on device")):
        (output,) = (one for one in json.loads(told)["findings"] if one["what"] == "output")
        assert (said in output["found"], output["where"]) == (True, [HERE])
