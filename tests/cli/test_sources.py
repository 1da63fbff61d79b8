"""From the words of a command line to what `open_scene` takes."""

from pathlib import Path

import pytest

from rsmtl.cli.sources import read_assets, read_sources
from rsmtl.errors import InputError


def test_each_word_is_a_scene() -> None:
    assert read_sources(["a.tif", "https://x.org/item.json?a=b"]) == ["a.tif", "https://x.org/item.json?a=b"]


def test_named_words_together_make_one_scene() -> None:
    assert read_sources(["pan=p.tif", "a.tif", "ms=m.tif"]) == ["a.tif", {"pan": "p.tif", "ms": "m.tif"}]


def test_a_path_with_an_equals_sign_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("year=2020.tif").touch()
    assert read_sources(["year=2020.tif"]) == ["year=2020.tif"]
    assert read_sources(["data/year=2020/a.tif"]) == ["data/year=2020/a.tif"]


def test_several_files_for_one_input_are_its_bands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = ["b4.tif", "b3.tif"]
    assert read_sources(["image=b4.tif,b3.tif"]) == [{"image": files}]
    assert read_sources(["image=b4.tif", "image=b3.tif", "pan=p.tif"]) == [{"image": files, "pan": "p.tif"}]
    monkeypatch.chdir(tmp_path)
    Path("id=2,x.tif").touch()
    assert read_sources(["id=2,x.tif"]) == ["id=2,x.tif"]
    assert read_sources(["image=id=2,x.tif"]) == [{"image": "id=2,x.tif"}]
    assert read_sources(["image=https://host/a,b.tif"]) == [{"image": "https://host/a,b.tif"}]


def test_assets_for_one_input_or_by_input() -> None:
    assert read_assets([]) is None
    assert read_assets(["red, green,blue"]) == ["red", "green", "blue"]
    assert read_assets(["visual:1,visual:2"]) == ["visual:1", "visual:2"]
    assert read_assets(["pan=pan", "ms=red,green"]) == {"pan": ["pan"], "ms": ["red", "green"]}


@pytest.mark.parametrize("values", [["red", "green"], ["pan=a", "pan=b"], ["red", "pan=b"], ["pan=b", "red"]])
def test_lists_that_do_not_go_together_are_refused(values: list[str]) -> None:
    with pytest.raises(
        InputError, match="several --assets must each name another input, as in --assets pan=pan"
    ):
        read_assets(values)
