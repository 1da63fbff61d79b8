"""What is made of facts, also of those that no machine here has: GPUs, crowded hosts, clocks."""

from typing import Any

import pytest

from rsmtl.dispatch.survey import SCHEDULER, Post
from rsmtl.doctor.clock import bounds, judge_clock, span
from rsmtl.doctor.devices import judge_devices
from rsmtl.doctor.finding import HERE, Finding, places, sentence, together
from rsmtl.doctor.libraries import judge_gdal
from rsmtl.doctor.machine import judge_machine, judge_threads
from rsmtl.doctor.output import judge_room
from rsmtl.doctor.sources import judge_source
from rsmtl.doctor.versions import PACKAGES, SOURCE, judge_versions

GIB = 2**30
GPU: dict[str, Any] = {
    "name": "NVIDIA A100",
    "capability": [8, 0],
    "built_for": ["sm_75", "sm_80", "sm_90"],
    "uuid": "GPU-1",
    "free_bytes": 39 * GIB,
    "total_bytes": 40 * GIB,
}
SEEN: dict[str, Any] = {
    "torch": "2.13.0+cu128",
    "built_for": "12.8",
    "driver": "570.1",
    "n_gpus": 1,
    "cpu_bf16": [],
    "gpus": [GPU],
    "problem": "",
}
MACHINE: dict[str, Any] = {
    "memory_bytes": 16 * GIB,
    "available_bytes": 12 * GIB,
    "cores": 4,
    "omp": "",
    "files": 1024,
    "files_open": 100,
    "scratch": "/tmp",
    "scratch_bytes": 50 * GIB,
    "trim": "",
    "mallopt": True,
}


def _to_mend(findings: Any) -> list[str]:
    return [sentence(one, {HERE}) for one in findings if one.verdict == "mend"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, ""),
        ({"built_for": None, "gpus": []}, "PyTorch 2.13.0+cu128 is built without CUDA: install a PyTorch"),
        (
            {"gpus": [], "problem": "The NVIDIA driver on your system is too old (found version 11040)"},
            "can use no GPU (The NVIDIA driver on your system is too old (found version 11040)); driver 570.1: start",
        ),
        (
            {"gpus": [], "driver": None},
            "built for CUDA 12.8, can use no GPU; no NVIDIA driver: start it where",
        ),
        (
            {"gpus": [GPU | {"capability": [6, 1]}]},
            "has no kernels for GPU 0, NVIDIA A100 (6.1, driver 570.1), only",
        ),
        ({"gpus": [GPU | {"capability": [10, 0]}]}, "has no kernels for GPU 0, NVIDIA A100 (10.0"),
        ({"gpus": [GPU | {"capability": [12, 0], "built_for": ["sm_90", "compute_90"]}]}, ""),
        ({"gpus": [GPU | {"capability": [8, 6]}]}, ""),
        ({"gpus": [GPU | {"free_bytes": 2 * GIB}]}, "has 2.0 of 40.0 GiB free: end what else uses it"),
    ],
)
def test_gpus_that_are_asked_for(changed: dict[str, Any], said: str) -> None:
    found = _to_mend(judge_devices({HERE: SEEN | changed}, cuda=True))
    assert len(found) == bool(said)
    assert said in "".join(found)


def test_workers_that_would_share_a_gpu() -> None:
    other = SEEN | {"gpus": [GPU | {"uuid": "GPU-2"}, GPU]}
    (found,) = _to_mend(judge_devices({"tcp://a:1": SEEN, "tcp://a:2": SEEN, "tcp://a:3": other}, cuda=True))
    assert found == (
        "tcp://a:1 and tcp://a:2: compute on one and the same GPU: give each its own by CUDA_VISIBLE_DEVICES"
    )


def test_gpus_that_are_not_asked_for_are_never_to_mend() -> None:
    for seen in (SEEN, SEEN | {"n_gpus": 0}, SEEN | {"n_gpus": 0, "driver": None}):
        assert _to_mend(judge_devices({HERE: seen}, cuda=False)) == []


@pytest.mark.parametrize(
    ("seen", "cuda", "verdict"),
    [
        (SEEN, True, "ok"),
        (SEEN | {"gpus": [GPU | {"capability": [7, 5]}]}, True, "note"),
        (SEEN, False, "note"),
        (SEEN | {"cpu_bf16": ["amx_bf16"]}, False, "ok"),
    ],
)
def test_bfloat16_is_fast_where_there_are_instructions_for_it(
    seen: dict[str, Any], cuda: bool, verdict: str
) -> None:
    (found,) = (one for one in judge_devices({HERE: seen}, cuda) if one.what == "bfloat16")
    assert found.verdict == verdict


def _post(name: str, n_threads: int, gib: float, nanny: bool = True) -> Post:
    return Post(name, "10.0.0.1", n_threads, int(gib * GIB), nanny)


def _machine(posts: list[Post], **changed: Any) -> list[str]:
    found = dict.fromkeys((HERE, *(post.name for post in posts)), MACHINE | changed)
    return _to_mend(together(judge_machine(found, [Post(SCHEDULER), *posts])))


def test_a_host_that_has_enough() -> None:
    assert _machine([_post("tcp://a:1", 2, 8), _post("tcp://a:2", 2, 8)]) == []


def test_workers_that_may_take_more_than_their_host_has() -> None:
    assert _machine([_post("tcp://a:1", 2, 10), _post("tcp://a:2", 2, 10)]) == [
        "tcp://a:1 and tcp://a:2: 2 workers on 10.0.0.1 may take 20.00 GiB together, it has 16.00 GiB: start each with "
        "`--memory-limit 8.00GiB` or less"
    ]
    (one,) = _machine([_post("tcp://a:1", 2, 32)])
    assert "may take 32.00 GiB, its machine or container has 16.00 GiB: start it with `--memory-limit" in one


def test_more_threads_than_cores() -> None:
    (found,) = _machine([_post("tcp://a:1", 4, 8), _post("tcp://a:2", 4, 8)])
    assert "8 threads of workers share 4 core(s) of 10.0.0.1: start fewer workers there" in found


def test_libraries_that_take_all_cores_for_each_thread() -> None:
    posts = [_post("tcp://a:1", 2, 8), _post("tcp://a:2", 1, 8)]
    found = {post.name: MACHINE for post in posts}
    (note,) = judge_threads({"tcp://a:1": 4, "tcp://a:2": 4}, found, posts)
    assert (note.where, note.verdict) == (("tcp://a:1",), "note")
    assert note.found.startswith(
        "OMP_NUM_THREADS is not set, so each of 2 thread(s) takes 4 for what is no forward pass"
    )
    assert list(judge_threads({"tcp://a:1": 1}, found, posts)) == []


def test_too_few_files_and_too_little_room() -> None:
    (files,) = _machine([], files=256)
    assert "100 of at most 256 are open: raise the limit there (`ulimit -n 4352`)" in files
    assert _machine([], files=-1) == []
    (scratch,) = _machine([], scratch_bytes=2**20)
    assert "/tmp has 1.00 MiB free, 1.00 GiB are wanted: make room, or name another by TMPDIR" in scratch
    (room,) = _to_mend(judge_room("/out", 5 * GIB, 6 * GIB))
    assert "/out has 5.00 GiB free, 6.00 GiB are wanted: make room" in room
    assert list(judge_room("s3://bucket/out", None, 6 * GIB)) == []


@pytest.mark.parametrize(
    ("ahead_s", "trip_s", "said"),
    [
        (0.0, 0.1, "agrees"),
        (0.9, 0.1, "agrees"),
        (3.0, 8.0, "agrees"),  # the answer took so long that nothing is certain
        (3.0, 0.2, "2.9 s or more ahead of the one here"),
        (-90.0, 0.2, "89.9 s or more behind the one here"),
    ],
)
def test_a_clock_is_off_only_if_that_is_certain(ahead_s: float, trip_s: float, said: str) -> None:
    told_s = 1000.0 + trip_s / 2 + ahead_s
    found = judge_clock("store", [span(1000.0, 1000.0 + trip_s, told_s, told_s)])
    assert said in found.found
    assert found.verdict == ("ok" if said == "agrees" else "mend")


def test_of_several_readings_of_a_clock_the_quickest_tells_most() -> None:
    slow, quick = span(0.0, 10.0, 7.0, 7.0), span(20.0, 20.1, 22.0, 22.0)
    assert judge_clock("store", [slow]).verdict == "ok"
    assert judge_clock("store", [slow, quick]).verdict == "mend"


def test_a_store_that_tells_whole_seconds_is_not_called_behind() -> None:
    assert bounds(1000.0) == (1000.0, 1001.0)
    assert judge_clock("store", [span(1000.9, 1000.95, *bounds(1000.0))]).verdict == "ok"


def test_versions_that_are_not_compared_alike() -> None:
    ours = dict.fromkeys(PACKAGES, "1.0") | {"Python": "3.11.7", SOURCE: "abc"}
    theirs = ours | {"Python": "3.11.9", "torch": "missing"}
    python, torch, _ = judge_versions({HERE: ours, "tcp://a:1": theirs}, PACKAGES)
    assert (python.verdict, python.found) == ("note", "Python is 3.11.9, 3.11.7 here")
    assert (torch.verdict, torch.found, torch.todo) == ("mend", "torch is missing", "install torch 1.0 there")
    (not_installed,) = _to_mend(judge_versions({HERE: ours | {"rsmtl": "missing"}}, PACKAGES))
    assert "rsmtl runs from a folder and is not installed" in not_installed


def test_gdal_without_a_driver_or_of_another_version() -> None:
    has = ["GTiff", "COG", "JP2OpenJPEG"]
    found = {
        HERE: {"version": "3.10.3", "drivers": has[:2]},
        "tcp://a:1": {"version": "3.9.0", "drivers": has[:1]},
    }
    mend = _to_mend(judge_gdal(found, "3.10.3"))
    assert "GDAL 3.9.0 lacks the driver COG, for every product's Cloud Optimized GeoTIFFs" in mend[0]
    assert "GDAL is 3.9.0, 3.10.3 here: install the same rasterio in both places" in mend[1]
    assert len(mend) == 2


def test_a_file_that_is_missing_from_what_is_seen_here_is_compared_with_nothing() -> None:
    (only_there,) = judge_source("a.tif", "a", {"tcp://a:1": {"a.tif": [1, "v"]}})
    assert only_there.verdict == "ok"
    _, other = judge_source("a.tif", "a", {HERE: {"a.tif": [1, "v"]}, "tcp://a:1": {"a.tif": [2, ""]}})
    assert other.found == "a.tif is another file than here (2 bytes; 1 bytes, version v here)"


def test_places_are_named_as_briefly_as_it_goes() -> None:
    workers = [f"tcp://a:{n}" for n in range(5)]
    everybody = {HERE, SCHEDULER, *workers}
    assert places([HERE, *workers], everybody) == "everywhere"
    assert places([SCHEDULER, *workers], everybody) == "scheduler and all workers"
    assert places(workers[:2], everybody) == "tcp://a:0 and tcp://a:1"
    assert places([HERE, *workers[:3]], everybody) == "here and 3 workers (tcp://a:0, …)"
    assert places([HERE], {HERE}) == "here"


def test_findings_that_differ_in_their_places_only_are_one_and_have_no_secrets() -> None:
    one = Finding("source", "http://me:word@host/a.tif?sig=abc is gone", "mend", where=("tcp://a:1",))
    (found,) = together([one, Finding("source", one.found, "mend", where=(HERE,))])
    assert found.where == ("tcp://a:1", HERE)
    assert found.found == "http://host/a.tif is gone"
