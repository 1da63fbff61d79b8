"""The collection of an output folder: whole at any moment, never short of a product for good, and not slow."""

import json
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path
from shutil import disk_usage
from typing import Any

import pystac
import pytest

from rsmtl.errors import ResumeError, RunError
from rsmtl.report.page import write_report
from rsmtl.store import collection
from rsmtl.store.collection import OutputCollection
from rsmtl.store.folder import product_folder
from rsmtl.store.item import write_item
from tests.store.products import HRMS, SEGMENTATION, utm
from tests.store.runs import run_of, write_small_files


def item(name: str, bbox: list[float] | None = None, **properties: Any) -> dict[str, Any]:
    """As much of a product's item as the collection looks at."""
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": name,
        "geometry": None,
        "bbox": bbox or [1, 2, 3, 4],
        "properties": {"datetime": "2024-05-06T07:08:09Z", "rsmtl:fingerprint": "f", **properties},
        "links": [],
        "assets": {"seg": {"href": "./seg.tif", "gsd": 10.0}},
    }


def stand(out: Path, name: str, **how: Any) -> Path:
    """Let a product stand: no more of it than its item."""
    (out / name).mkdir(parents=True, exist_ok=True)
    (out / name / "item.json").write_text(json.dumps(item(name, **how)))
    return out / name


def listed(out: Path) -> list[str]:
    found = json.loads((out / "collection.json").read_text())
    return [link["href"] for link in found["links"] if link["rel"] == "item"]


@pytest.fixture
def every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write whenever a product is added."""
    monkeypatch.setattr(collection, "EVERY_S", 0.0)
    monkeypatch.setattr(collection, "SHARE", float("inf"))


def test_pystac_reads_it_with_its_items_and_finds_it_valid(tmp_path: Path) -> None:
    for name in ("a", "b"):
        folder = tmp_path / "out" / name
        folder.mkdir(parents=True)
        write_small_files(folder, SEGMENTATION, HRMS)
        scene = {"datetime": f"2020-02-1{len(name)}T11:34:25Z", "platform": "sentinel-2a"}
        write_item(folder, run_of(scene_id=name), (SEGMENTATION, HRMS), utm(200, 300), scene)
    OutputCollection(tmp_path / "out").write()
    found = pystac.Collection.from_file(str(tmp_path / "out" / "collection.json"))
    pystac.Collection.from_dict(found.to_dict(), migrate=False).validate()
    items = list(found.get_items())
    assert [one.id for one in items] == ["a", "b"]
    assert Path(items[0].assets["segmentation"].get_absolute_href() or "").exists()
    assert found.extent.spatial.bboxes == [items[0].bbox]
    assert found.summaries.lists["platform"] == ["sentinel-2a"]
    assert found.summaries.lists["proj:code"] == ["EPSG:32633"]
    assert found.summaries.lists["mlm:architecture"] == ["urec"]
    classes = {one["name"] for one in found.summaries.lists["classification:classes"]}
    assert classes == {"bare_land", "forest", "water", "nodata"}
    assert found.summaries.get_range("gsd") == pystac.RangeSummary(10, 10)


def test_another_program_reads_it(tmp_path: Path) -> None:
    stand(tmp_path, "a")
    stand(tmp_path, "b=20c")
    OutputCollection(tmp_path).write()
    rustac = Path(sys.executable).with_name("rustac")
    if not rustac.exists():
        pytest.skip("rustac is not installed")
    told = subprocess.run([rustac, "validate", tmp_path / "collection.json"], capture_output=True, text=True)
    assert (told.returncode, told.stderr) == (0, ""), told.stdout
    crawled = subprocess.run(
        [rustac, "crawl", tmp_path / "collection.json", tmp_path / "copy"], capture_output=True, text=True
    )
    assert crawled.returncode == 0, crawled.stderr
    (copied,) = (tmp_path / "copy").rglob("*.json")
    assert {one["id"] for one in json.loads(copied.read_text())["features"]} == {"a", "b=20c"}


def test_extent_and_summaries_are_those_of_all(tmp_path: Path) -> None:
    stand(tmp_path, "a", bbox=[1, 2, 3, 4], platform="p", **{"mlm:name": "m"})
    stand(tmp_path, "b", bbox=[-5, 0, 2, 3], platform="q", datetime="2023-01-01T00:00:00+02:00")
    stand(
        tmp_path,
        "c",
        platform="p",
        start_datetime="2022-01-01T00:00:00Z",
        end_datetime="2025-01-01T00:00:00Z",
    )
    OutputCollection(tmp_path).write()
    found = json.loads((tmp_path / "collection.json").read_text())
    assert found["extent"]["spatial"]["bbox"] == [[-5, 0, 3, 4]]
    assert found["extent"]["temporal"]["interval"] == [["2022-01-01T00:00:00Z", "2025-01-01T00:00:00Z"]]
    assert found["summaries"] == {
        "platform": ["p", "q"],
        "mlm:name": ["m"],
        "gsd": {"minimum": 10, "maximum": 10},
    }
    assert found["rsmtl:products"] == 3


@pytest.mark.parametrize(
    ("boxes", "union"),
    [
        ([[170, 0, -170, 5]], [170, 0, -170, 5]),
        ([[170, 0, -170, 5], [-160, -9, -150, 1]], [170, -9, -150, 5]),
        ([[170, 0, -170, 5], [100, 1, 120, 2]], [100, 0, -170, 5]),
        ([[179, 0, 180, 5], [-180, 0, -179, 5]], [-180, 0, 180, 5]),  # none of them crosses
        ([[100, 0, -100, 1], [-120, 0, 120, 1]], [-180, 0, 180, 1]),
    ],
)
def test_boxes_across_the_antimeridian(tmp_path: Path, boxes: list[list[float]], union: list[float]) -> None:
    for k, bbox in enumerate(boxes):
        stand(tmp_path, f"{k}", bbox=bbox)
    OutputCollection(tmp_path).write()
    assert json.loads((tmp_path / "collection.json").read_text())["extent"]["spatial"]["bbox"] == [union]


def test_what_is_no_product_is_left_out(tmp_path: Path) -> None:
    stand(tmp_path, "good")
    (tmp_path / "a file").write_text("x")
    (tmp_path / "half").mkdir()
    for k, text in enumerate(("{", "[]", '{"type": "Feature"}', json.dumps(item("x", bbox=[1, 2, 3, "4"])))):
        (tmp_path / f"broken {k}").mkdir()
        (tmp_path / f"broken {k}" / "item.json").write_text(text)
    foreign = item("foreign")
    del foreign["properties"]["rsmtl:fingerprint"]
    stand(tmp_path, "foreign")
    (tmp_path / "foreign" / "item.json").write_text(json.dumps(foreign))
    stand(tmp_path, ".hidden")
    OutputCollection(tmp_path).write()
    assert listed(tmp_path) == ["./good/item.json"]


def test_nothing_is_written_where_nothing_stands(tmp_path: Path) -> None:
    OutputCollection(tmp_path / "out").write()
    assert list(tmp_path.iterdir()) == []


def test_the_same_products_give_the_same_bytes_and_no_new_file(tmp_path: Path) -> None:
    for name in ("b", "a"):
        stand(tmp_path / "out", name)
    OutputCollection(tmp_path / "out").write()
    path = tmp_path / "out" / "collection.json"
    before = path.read_bytes(), path.stat().st_ino
    OutputCollection(tmp_path / "out").write()
    assert (path.read_bytes(), path.stat().st_ino) == before


def test_it_grows_with_each_product_that_is_added(tmp_path: Path, every_time: None) -> None:
    growing = OutputCollection(tmp_path)
    for n, name in enumerate("abc", start=1):
        growing.add(stand(tmp_path, name))
        assert len(listed(tmp_path)) == n
    growing.add(stand(tmp_path, "b", platform="new"))
    assert json.loads((tmp_path / "collection.json").read_text())["summaries"]["platform"] == ["new"]


def test_it_is_not_written_for_every_product(tmp_path: Path) -> None:
    growing = OutputCollection(tmp_path)
    for name in "abc":
        growing.add(stand(tmp_path, name))
    assert not (tmp_path / "collection.json").exists()
    growing.write()
    assert len(listed(tmp_path)) == 3


def test_products_that_are_gone_leave_it(tmp_path: Path, every_time: None) -> None:
    growing = OutputCollection(tmp_path)
    growing.add(stand(tmp_path, "a"))
    growing.add(stand(tmp_path, "b"))
    (tmp_path / "a" / "item.json").unlink()
    (tmp_path / "a").rmdir()
    growing.add(stand(tmp_path, "c"))
    assert listed(tmp_path) == ["./b/item.json", "./c/item.json"]
    (tmp_path / "b" / "item.json").unlink()
    growing.write()
    assert listed(tmp_path) == ["./c/item.json"]


def test_what_another_run_has_made_is_taken_along(tmp_path: Path, every_time: None) -> None:
    one, other = OutputCollection(tmp_path), OutputCollection(tmp_path)
    one.add(stand(tmp_path, "a"))
    other.add(stand(tmp_path, "b"))
    assert listed(tmp_path) == ["./a/item.json", "./b/item.json"]
    one.add(stand(tmp_path, "c"))
    other.write()
    assert len(listed(tmp_path)) == 3


def grow(out: Path, names: list[str]) -> None:
    """What a run does, with a write for every product."""
    collection.EVERY_S, collection.SHARE = 0.0, float("inf")
    growing = OutputCollection(out)
    for name in names:
        growing.add(stand(out, name))
    growing.write()


def test_runs_side_by_side_lose_nothing_and_a_reader_always_sees_a_whole_collection(tmp_path: Path) -> None:
    runs = [
        get_context("spawn").Process(target=grow, args=(tmp_path, [f"{run}-{k:03d}" for k in range(60)]))
        for run in range(3)
    ]
    for run in runs:
        run.start()
    seen = set()
    while any(run.is_alive() for run in runs):
        if (tmp_path / "collection.json").exists():
            found = pystac.Collection.from_file(str(tmp_path / "collection.json"))
            seen.add(len(list(found.get_items())))
    assert [run.exitcode for run in runs] == [0, 0, 0]
    assert len(listed(tmp_path)) == 180
    assert len(seen) > 1
    assert list(tmp_path.glob(".*")) == []


def test_a_collection_of_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "collection.json").write_text('{"type": "Collection", "id": "input"}')
    with pytest.raises(
        ResumeError, match=r"collection\.json was not written by rsmtl, and the catalogue of the products"
    ):
        OutputCollection(tmp_path)


def test_a_full_disk_is_told_at_the_end_only(small_disk: Path, every_time: None) -> None:
    growing = OutputCollection(small_disk)
    for k in range(20):
        stand(small_disk, f"scene-{k}", platform="p")
    (small_disk / "rest").write_bytes(b"x" * disk_usage(small_disk).free)
    growing.add(small_disk / "scene-0")
    with pytest.raises(RunError, match=r"cannot write .*collection\.json: No space left on device"):
        growing.write()


def test_writes_become_rarer_as_they_take_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "EVERY_S", 0.0)
    monkeypatch.setattr(collection, "SHARE", 1e-6)  # of hours: the first write is the last but for the end's
    growing = OutputCollection(tmp_path)
    growing.add(stand(tmp_path, "a"))
    growing.add(stand(tmp_path, "b"))
    assert listed(tmp_path) == ["./a/item.json"]


@pytest.mark.parametrize("name", ["collection.json", "Report.HTML"])
def test_an_item_called_as_a_file_beside_the_products_is_in_none_of_their_ways(
    tmp_path: Path, name: str
) -> None:
    for one in ("fine", name):
        stand(tmp_path, product_folder(tmp_path, one).name)
    OutputCollection(tmp_path).write()
    assert (tmp_path / "collection.json").is_file()
    assert len(listed(tmp_path)) == 2
    write_report(tmp_path)
    assert (tmp_path / "report.html").is_file()
