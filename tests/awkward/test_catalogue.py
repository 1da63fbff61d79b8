"""Catalogues of which a part is broken: each broken item is named in one line, and all the others become products."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from rsmtl.errors import SceneError
from rsmtl.scene.open import open_scene, scene_refs
from tests.awkward import items
from tests.awkward.runner import Runner
from tests.awkward.table import SMALL
from tests.scene.rasters import asset, image, write_catalog, write_raster

BROKEN = (
    "an item that is not there",
    "an item of 0 bytes",
    "an item cut in the middle",
    "an item that is a list",
    "assets: null",
    "an id that is a number",
    "a scale of zero in the item",
    "a href of a file that is gone",
    "a href of /etc/passwd",
    "a href of standard input",
)
"""Rows of the table, each of which is one broken item."""


def catalogue(folder: Path, n_items: int, n_broken: int) -> tuple[Path, list[int]]:
    """A catalogue, broken at even distances, and which items those are."""
    makes = {row.name: row.make for row in items.rows}
    step, hrefs, broken = n_items // n_broken, [], []
    write_raster(folder / "a.tif", image(1, 40, 30))
    for k in range(n_items):
        path = folder / f"{k:05}" / "item.json"
        if k % step == step // 2:
            path.parent.mkdir()
            makes[BROKEN[len(broken) % len(BROKEN)]](path.parent)
            broken.append(k)
        else:
            path = folder / f"{k:05}.json"
            path.write_text(json.dumps({**items.RIGHT, "id": f"{k:05}", "assets": {"image": asset("a.tif")}}))
        hrefs.append(str(path.relative_to(folder)))
    return write_catalog(folder, tuple(hrefs)), broken


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give a call that makes many products the time for it."""
    monkeypatch.setattr("tests.awkward.runner.LIMIT_S", 500)
    return


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("patient")
def test_the_rest_of_a_catalogue_goes_on(tmp_path: Path, runner: Runner, models: dict[int, Path]) -> None:
    source, broken = catalogue(tmp_path, 60, 10)
    words = ("predict", source, "--model", models[1], "--out", tmp_path / "out", *SMALL)
    ended = runner.call(*words)
    results = [found["result"] for found in ended.json["scenes"]]
    assert [k for k, result in enumerate(results) if result == "failed"] == broken
    assert results.count("written") == 50
    assert len(ended.json["errors"]) == 10
    for k, error in zip(broken, ended.json["errors"], strict=True):
        line = f"{error['subject']}: {error['message']}"
        assert ended.err.splitlines().count(line) == 1
        assert f"{k:05}" in line or "/etc/passwd" in line
    assert "Traceback" not in ended.out + ended.err
    products = [f"{k:05}" for k in range(60) if k not in broken]
    assert sorted(found.name for found in (tmp_path / "out").iterdir()) == [*products, "collection.json"]
    assert len(list((tmp_path / "out").glob("*/item.json"))) == 50
    again = runner.call(*words)
    assert [found["result"] for found in again.json["scenes"]].count("stood already") == 50
    assert [e["message"] for e in again.json["errors"]] == [e["message"] for e in ended.json["errors"]]


def test_every_item_of_a_long_catalogue_is_opened_or_refused(tmp_path: Path) -> None:
    source, broken = catalogue(tmp_path, 400, 20)
    refs = list(scene_refs(source))
    assert len(refs) == 400
    for k, ref in enumerate(refs):
        if k in broken:
            with pytest.raises(SceneError, match=r"^.+: .+$"):
                open_scene(ref.source)
        else:
            assert open_scene(ref.source).id == f"{k:05}"
