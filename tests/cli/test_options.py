"""Settings from a command's options."""

from pathlib import Path

import pytest

from rsmtl.cli.options import with_search, with_settings
from rsmtl.config import Settings
from rsmtl.errors import InputError
from rsmtl.scene.search import Search
from tests.cli.conftest import SMALL, Call, assert_refused
from tests.scene.rasters import asset, image, write_catalog, write_item, write_raster

DEFAULTS = {name: field.default for name, field in Settings.model_fields.items()} | {"extras": None}


@with_settings
def window_of(settings: Settings, twice: bool = False) -> int:
    return settings.window * (2 if twice else 1)


@with_settings
def n_extras_of(settings: Settings) -> int:
    return len(settings.extras)


def test_a_command_gets_its_settings_whole() -> None:
    assert window_of(**DEFAULTS | {"window": 64}) == 64
    assert window_of(**DEFAULTS | {"window": 64}, twice=True) == 128


def test_lists_have_commas() -> None:
    assert n_extras_of(**DEFAULTS) == 0
    assert n_extras_of(**DEFAULTS | {"extras": "confidence,probabilities"}) == 2


def test_a_wrong_value_is_one_sentence() -> None:
    with pytest.raises(InputError, match=r"^the settings are wrong: batch: expected more than 0, got '0'"):
        window_of(**DEFAULTS | {"batch": 0})


ANYTHING = {"since": None, "until": None, "bbox": None, "max_cloud": None, "collections": []}


@with_search
@with_settings
def both_of(settings: Settings, search: Search) -> int:
    assert settings == Settings()
    return len(str(search))


def test_a_command_gets_its_search_whole() -> None:
    assert both_of(**DEFAULTS, **ANYTHING) == 0
    search = Search(since="2024-05-06", bbox=(-1, 2, 3, 4), max_cloud=5, collections=("a", "b"))
    said = {"since": "2024-05-06", "bbox": "-1,2,3,4", "max_cloud": 5.0, "collections": ["a", "b"]}
    assert both_of(**DEFAULTS, **ANYTHING | said) == len(str(search))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"since": "2024"}, "since: give a date as in 2024-05-31"),
        ({"bbox": "1,2,3"}, "bbox.3: is missing"),
        ({"bbox": "1,2,3,x"}, "bbox.3: expected a number"),
        ({"bbox": "0,5,1,4"}, "bbox: give west, south, east and north in degrees"),
        ({"since": "2024-05-07", "until": "2024-05-06"}, "`since` is later than `until`"),
    ],
)
def test_a_wrong_search_is_one_sentence(wrong: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=f"^the search is wrong: {said}"):
        both_of(**DEFAULTS, **ANYTHING | wrong)


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """Three items of three days over one raster."""
    write_raster(tmp_path / "a.tif", image(3, 64, 64))
    for k in (1, 2, 3):
        path = write_item(tmp_path, {"a": asset("a.tif")}, f"s-{k}", datetime=f"2024-05-0{k}T00:00:00Z")
        path.write_text(path.read_text().replace('"type"', f'"bbox": [{k}, -1, {k + 1}, 1], "type"', 1))
    return write_catalog(tmp_path, ("s-1.json", "s-2.json", "s-3.json"))


def test_predict_and_plan_take_the_scenes_searched_for(
    call: Call, catalogue: Path, model: Path, tmp_path: Path
) -> None:
    common = (catalogue, "--model", model, *SMALL, "--json")
    planned = call("plan", *common, "--since", "2024-05-02", "--bbox", "-180,-1,3.5,1").json
    assert [found["scene"] for found in planned["scenes"]] == ["s-2", "s-3"]
    made = call("predict", *common, "--out", tmp_path / "out", "--until", "2024-05-01").json
    assert [(found["scene"], found["result"]) for found in made["scenes"]] == [("s-1", "written")]


def test_a_search_that_finds_nothing_and_one_that_is_wrong(
    call: Call, catalogue: Path, model: Path, tmp_path: Path
) -> None:
    common = ("predict", catalogue, "--model", model, "--out", tmp_path / "out")
    assert_refused(call(*common, "--max-cloud", 10), tmp_path, "none of 3 items")
    assert_refused(call(*common, "--collection", "a", "--collection", "b"), tmp_path, "collections a,b")
    assert_refused(call(*common, "--bbox", "1,2"), tmp_path, "the search is wrong: bbox.2: is missing")
