"""Which items a search wants, of items that tell the truth and of others; and what `scene_refs` makes of it."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from rsmtl.errors import SceneError
from rsmtl.scene.open import scene_refs
from rsmtl.scene.search import Search
from tests.scene.rasters import asset, image, write_catalog, write_item, write_raster


def item(bbox: Any = None, geometry: Any = None, **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "id": "x",
        "bbox": bbox,
        "geometry": geometry,
        "properties": {"datetime": "2024-05-06T07:08:09Z", **properties},
    }


def polygon(*points: tuple[float, float]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [[*points, points[0]]]}


@pytest.mark.parametrize(
    ("since", "until", "wanted"),
    [
        ("2024-05-06", "2024-05-06", True),  # a date is all of its day
        ("2024-05-07", None, False),
        (None, "2024-05-05", False),
        ("2024-05-06T07:08:09Z", "2024-05-06T07:08:09Z", True),
        ("2024-05-06T07:08:10", None, False),
        ("2024-05-06T09:08:09+02:00", None, True),
        ("2024-05-06T09:08:10+02:00", None, False),
        (date(2024, 5, 6), datetime(2024, 5, 6, 8, tzinfo=UTC), True),
    ],
)
def test_times(since: Any, until: Any, wanted: bool) -> None:
    assert Search(since=since, until=until).matches(item()) is wanted


@pytest.mark.parametrize(
    ("since", "until", "wanted"),
    [
        ("2024-02-01", None, True),
        (None, "2024-01-15", True),
        ("2024-04-01", None, False),
        (None, "2023", None),
    ],
)
def test_an_interval_counts_where_an_item_has_one(since: str, until: str, wanted: bool | None) -> None:
    long = item(datetime=None, start_datetime="2024-01-01T00:00:00Z", end_datetime="2024-03-01T00:00:00Z")
    if wanted is None:
        with pytest.raises(ValidationError):
            Search(until=until)
    else:
        assert Search(since=since, until=until).matches(long) is wanted


@pytest.mark.parametrize(
    ("bbox", "wanted"),
    [
        ((0, 0, 1, 1), True),
        ((1, 1, 2, 2), True),  # a corner in common
        ((1.1, 0, 2, 1), False),
        ((170, 0, -170, 1), False),
        ((0.5, 0, -170, 1), True),
    ],
)
def test_boxes(bbox: tuple[float, ...], wanted: bool) -> None:
    search = Search(bbox=bbox)
    outline = polygon((0, 0), (1, 0), (1, 1), (0, 1))
    for found in (
        item([0, 0, 1, 1]),
        item([0, 0, -5, 1, 1, 5]),
        item(None, outline),
        item([0, 0, 1, 1], outline),
        item(["?", 0, 1, 1], outline),
        item([0, 0, 1, 1], {"type": "Polygon", "coordinates": "nonsense"}),
        item([0, 0, 1, 1], polygon((float("nan"), 0), (1, 0), (1, 1))),
    ):
        assert search.matches(found) is wanted


def test_the_outline_counts_more_than_its_box() -> None:
    triangle = item([0, 0, 1, 1], polygon((0, 0), (1, 0), (0, 1)))
    assert Search(bbox=(0, 0, 0.2, 0.2)).matches(triangle)
    assert not Search(bbox=(0.8, 0.8, 1, 1)).matches(triangle)


CROSSING = {
    "box": item([179, 0, -179, 1]),
    "box past 180": item([179, 0, 181, 1]),
    "cut outline": item(
        [179, 0, -179, 1],
        {
            "type": "MultiPolygon",
            "coordinates": [
                polygon((179, 0), (180, 0), (180, 1), (179, 1))["coordinates"],
                polygon((-180, 0), (-179, 0), (-179, 1), (-180, 1))["coordinates"],
            ],
        },
    ),
    "outline that jumps": item([179, 0, -179, 1], polygon((179, 0), (-179, 0), (-179, 1), (179, 1))),
    "outline past 180": item(None, polygon((179, 0), (181, 0), (181, 1), (179, 1))),
    "outline past -180": item(None, polygon((-181, 0), (-179, 0), (-179, 1), (-181, 1))),
}


@pytest.mark.parametrize("found", CROSSING.values(), ids=CROSSING)
def test_items_across_the_antimeridian(found: dict[str, Any]) -> None:
    for bbox, wanted in (
        ((179.5, 0, 180, 1), True),
        ((-180, 0, -179.5, 1), True),
        ((179.5, 0, -179.5, 1), True),
        ((-10, 0, 10, 1), False),
        ((-170, 0, 170, 1), False),
        ((170, 0, 178, 1), False),
        ((170, 2, -170, 3), False),
    ):
        assert Search(bbox=bbox).matches(found) is wanted, bbox


def test_what_an_item_does_not_tell_does_not_keep_to_a_bound() -> None:
    assert not Search(bbox=(-180, -90, 180, 90)).matches(item())
    assert not Search(max_cloud=100).matches(item())
    for strange in (None, "few", "nan", float("nan"), [1]):
        assert not Search(max_cloud=100).matches(item(**{"eo:cloud_cover": strange}))
    assert not Search(collections=("c",)).matches(item())
    assert Search().matches(item())


def test_clouds_and_collections() -> None:
    assert Search(max_cloud=20).matches(item(**{"eo:cloud_cover": "12.5"}))
    assert not Search(max_cloud=10).matches(item(**{"eo:cloud_cover": "12.5"}))
    found = {**item(**{"eo:cloud_cover": 12.5}), "collection": "c"}
    assert Search(max_cloud=12.5, collections=("b", "c")).matches(found)
    assert not Search(max_cloud=12).matches(found)
    assert not Search(collections=("b",)).matches(found)


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"type": "Catalog"},
        {"type": "Feature", "properties": []},
        item(datetime=None),
        item(datetime="yesterday"),
        item(datetime=20240506),
    ],
)
def test_what_is_no_item_cannot_be_judged(broken: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="STAC item"):
        Search(since="2024-01-01").matches(broken)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"since": "2024"}, "give a date as in 2024-05-31, or a time as in 2024-05-31T12:00:00Z"),
        ({"since": 2024}, "give a date as in 2024-05-31"),
        ({"until": "1715000000"}, "give a date as in 2024-05-31"),
        ({"since": "2024-05-06", "until": "2024-05-05"}, "`since` is later than `until`"),
        ({"bbox": (0, 5, 1, 4)}, "south below north"),
        ({"bbox": (0, 0, 181, 1)}, "longitudes from -180 to 180"),
        ({"bbox": (0, 0, float("nan"), 1)}, "longitudes from -180 to 180"),
        ({"bbox": (0, 0, 1)}, "Field required"),
        ({"max_cloud": 101}, "less than or equal to 100"),
        ({"max_cloud": float("nan")}, "less than or equal to 100"),
        ({"clouds": 1}, "Extra inputs are not permitted"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Search.model_validate(wrong)


def test_a_search_says_its_bounds_and_survives_json() -> None:
    search = Search(
        since="2024-05-06", until="2024-05-07", bbox=(1, 2, 3.5, 4), max_cloud=20, collections=("a", "b")
    )
    assert str(search) == (
        "since 2024-05-06T00:00:00Z, until 2024-05-07T23:59:59.999999Z, bbox 1,2,3.5,4, max_cloud 20, collections a,b"
    )
    assert Search.model_validate_json(search.model_dump_json()) == search
    assert search.bounded
    assert not Search().bounded


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """Items of three days in a catalogue and its child; one that is no JSON, one without time, one that is gone."""
    write_raster(tmp_path / "a.tif", image(1, 8, 8))
    (tmp_path / "inner").mkdir()
    for k, folder in enumerate((tmp_path, tmp_path, tmp_path / "inner"), start=1):
        path = write_item(folder, {"a": asset("a.tif")}, f"file-{k}", datetime=f"2024-05-0{k}T00:00:00Z")
        path.write_text(path.read_text().replace(f'"id": "file-{k}"', f'"id": "true-{k}"'))
    (tmp_path / "ugly.json").write_text("{")
    write_item(tmp_path, {}, "timeless", datetime=None)
    write_catalog(tmp_path / "inner", ("file-3.json",))
    names = ("file-1.json", "ugly.json", "file-2.json", "timeless.json", "gone.json")
    return write_catalog(tmp_path, names, ("inner/catalog.json",))


def test_without_a_search_items_are_not_read(catalogue: Path) -> None:
    for search in (None, Search()):
        names = [ref.id for ref in scene_refs(catalogue, search)]
        assert names == ["file-1", "ugly", "file-2", "timeless", "gone", "file-3"]


def test_a_search_reads_them_and_yields_what_cannot_be_judged_too(catalogue: Path) -> None:
    refs = list(scene_refs(catalogue, Search(since="2024-05-02")))
    assert [ref.id for ref in refs] == ["ugly", "true-2", "timeless", "gone", "true-3"]
    assert refs[1].source == str(catalogue.parent / "file-2.json")


def test_nothing_within_the_bounds_says_how_many_were_looked_at(tmp_path: Path) -> None:
    for k in range(3):
        write_item(tmp_path, {}, f"{k}")
    catalogue = write_catalog(tmp_path, ("0.json", "1.json", "2.json"))
    with pytest.raises(
        SceneError,
        match=r"^none of 3 items of '.*catalog.json' keeps to the search \(until 2001-01-01T23:59:59.999999Z\): widen",
    ):
        list(scene_refs(catalogue, Search(until="2001-01-01")))


def test_a_single_item_is_held_against_the_search_too(tmp_path: Path) -> None:
    path = write_item(tmp_path, {}, "only")
    assert [ref.id for ref in scene_refs(path, Search(since="2024-05-06"))] == ["only"]
    with pytest.raises(SceneError, match="none of 1 items"):
        list(scene_refs(path, Search(since="2024-05-07")))


def test_rasters_cannot_be_searched(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", image(1, 8, 8))
    with pytest.raises(
        SceneError, match=r"a\.tif' is no STAC catalogue, and only items can be searched \(max_cloud 5\)"
    ):
        list(scene_refs(path, Search(max_cloud=5)))


def test_items_behind_a_server_are_read_too(catalogue: Path, served: str) -> None:
    refs = list(scene_refs(f"{served}/catalog.json", Search(since="2024-05-02")))
    assert [ref.id for ref in refs] == ["ugly", "true-2", "timeless", "gone", "true-3"]
    assert json.loads((catalogue.parent / "file-2.json").read_text())["id"] == "true-2"
