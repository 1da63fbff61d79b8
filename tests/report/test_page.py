"""The page tells all there is, loads nothing, trusts nobody, and stays small."""

import json
import shutil
from collections import Counter
from datetime import datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from rsmtl.errors import InputError
from rsmtl.report import write_report
from rsmtl.report.page import N_QUICKLOOKS
from tests.report.conftest import EVIL

VOID = {"meta", "img", "br", "link", "input"}
OPTIONAL = {"td", "th", "tr", "li", "dt", "dd", "thead", "tbody"}
"""HTML lets these end by themselves."""


class Page(HTMLParser):
    """Elements, what they point to, text; raises where tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.links: list[tuple[str, str]] = []
        self.attributes: set[str] = set()
        self.text: list[str] = []
        self.ids: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes |= {name for name, _ in attrs}
        self.links += [
            (tag, value or "") for name, value in attrs if name in ("href", "src", "srcset", "data")
        ]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID | OPTIONAL and not self.get_starttag_text().endswith("/>"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID | OPTIONAL and not self.get_starttag_text().endswith(f"<{tag}/>"):
            assert self._open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def page(products: Path) -> Page:
    return Page(
        write_report(products, {"gone": "cannot read https://u:pw@h/a.tif?sig=s3: give another"}).read_text()
    )


def test_every_scene_is_there_with_what_became_of_it(page: Page) -> None:
    text = "".join(page.text)
    for told in ("plain", EVIL, "line\N{REPLACEMENT CHARACTER}break", "Île & <b>"):
        assert told in text
    assert "cannot read https://h/a.tif: give another" in text
    assert "begun" in text
    assert "--resume finishes it" in text
    assert [f"s{k}" for k in range(3)] == [one for one in page.ids if one[1:].isdigit()]
    assert page.tags["img"] == page.tags["figure"] == 3


def test_what_strangers_wrote_is_text_and_nothing_else(page: Page) -> None:
    assert page.tags["script"] == 0
    assert not {name for name in page.attributes if name.startswith("on")}
    assert "\u202e" not in "".join(page.text)
    assert "pw" not in "".join(page.text).split()


def test_the_page_loads_nothing(page: Page) -> None:
    for tag, link in page.links:
        if tag == "img":
            assert link.startswith("data:image/jpeg;base64,")
        else:
            assert tag == "a"
            assert link.startswith("#s") or link.endswith("/item.json")
            assert "://" not in link
            assert not link.startswith("/")
    assert page.tags["link"] == page.tags["iframe"] == page.tags["object"] == 0


def test_links_lead_to_the_items(products: Path, page: Page) -> None:
    items = {link for _, link in page.links if link.endswith("item.json")}
    assert len(items) == 3
    assert all((products / unquote(link)).is_file() for link in items)


def test_map_timeline_and_seams_are_drawn(page: Page) -> None:
    text = "".join(page.text)
    assert {"map", "time", "seams", "scenes", "failed", "unfinished", "quicklooks"} <= set(page.ids)
    assert page.tags["svg"] == 2
    assert "The latest run: 3 scenes" in text
    assert text.count("segmentation") == 3  # of three scenes
    assert "reconstruction" not in text
    assert text.count("no visible grid") + text.count("a grid of") + text.count("steps of") == 3


def test_a_folder_of_thousands_makes_a_small_page(products: Path, tmp_path: Path) -> None:
    source, n = products / "plain", 1200
    run = json.loads((source / "run.json").read_text())
    latest = datetime.fromisoformat(run["finished"])
    for k in range(n):
        if k < 2 * N_QUICKLOOKS:
            shutil.copytree(source, tmp_path / f"s{k}")
        else:
            (tmp_path / f"s{k}").mkdir()
            for name in ("item.json", "run.json"):
                shutil.copy(source / name, tmp_path / f"s{k}" / name)
        changes = {"scene_id": f"scene {k}", "finished": (latest - timedelta(seconds=k)).isoformat()}
        (tmp_path / f"s{k}" / "run.json").write_text(json.dumps(run | changes))
    written = write_report(tmp_path)
    page = Page(written.read_text())
    assert page.tags["img"] == N_QUICKLOOKS
    assert len({one for one in page.ids if one[1:].isdigit()}) == n
    assert f"The latest {N_QUICKLOOKS} of 1,200 scenes" in "".join(page.text)
    assert written.stat().st_size < 1_500_000


def test_damage_is_told_and_does_not_end_the_page(products: Path, tmp_path: Path) -> None:
    for name in ("plain", "no-run", "no-pixels"):
        shutil.copytree(products / "plain", tmp_path / name)
    (tmp_path / "no-run" / "run.json").write_text("{")
    (tmp_path / "no-pixels" / "quicklook.png").write_bytes(b"no picture")
    shutil.rmtree(tmp_path / "no-pixels" / "product.zarr")
    (tmp_path / "no-pixels" / "item.json").write_text("[]")
    shutil.rmtree(tmp_path / "no-pixels" / "ledger")
    page = Page(write_report(tmp_path).read_text())
    assert "run.json is damaged" in "".join(page.text)
    assert len([one for one in page.ids if one[1:].isdigit()]) == 2
    assert page.tags["img"] == 1


def test_a_run_in_which_all_failed_has_a_page(tmp_path: Path) -> None:
    page = Page(write_report(tmp_path, {"one": "there is no such file: give another"}).read_text())
    assert "there is no such file: give another" in "".join(page.text)
    assert page.tags["svg"] == page.tags["table"] == 0


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no product: give a folder that `rsmtl predict` wrote to"):
        write_report(tmp_path)
