"""The site as readers get it: complete, without dead links, and without a network."""

import json
import re
from pathlib import Path

import pytest

from notebooks import render
from tests.docs.links import (
    anchors,
    headings,
    is_external,
    is_well_formed,
    leads,
    loaded_by_style,
    loads,
    split,
    written,
)
from tests.docs.pages import ROOT, pages

FILES = [
    *(ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *(path for folder in ("cluster", "notebooks", "tests") for path in sorted((ROOT / folder).rglob("*.md"))),
]
"""What is read in the repository itself; links of `docs/` are followed on the built site."""

built = pytest.mark.pages


@built
def test_every_page_is_built(site: Path) -> None:
    names = {page.relative_to(ROOT / "docs").with_suffix(".html") for page in (ROOT / "docs").rglob("*.md")}
    names |= {Path("notebooks", f"{source.stem}.html") for source in render.sources()}
    assert [str(name) for name in names if not (site / name).is_file()] == []
    assert len(render.sources()) == 7


@built
def test_links_lead_somewhere(site: Path) -> None:
    dead = []
    for page in site.rglob("*.html"):
        for link in leads(page):
            if is_external(link):
                dead += [] if is_well_formed(link) or link.startswith("data:") else [(page.name, link)]
                continue
            path, anchor = split(link)
            target = (page.parent / path).resolve() if path else page
            if not target.is_file() or (target.suffix == ".html" and anchor not in anchors(target)):
                dead.append((page.name, link))
    assert dead == []


@built
def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    loaded = {(page.name, link) for page in site.rglob("*.html") for link in loads(page)}
    loaded |= {
        (sheet.name, link) for sheet in site.rglob("*.css") for link in loaded_by_style(sheet.read_text())
    }
    assert len(loaded) > 10
    assert [found for found in loaded if is_external(found[1]) and not found[1].startswith("data:")] == []
    assert [page.name for page in site.rglob("*.html") if "MathJax" in page.read_text()] == []


@built
def test_comments_for_the_tests_are_left_out(site: Path) -> None:
    assert [page.name for page in site.rglob("*.html") if "run first:" in page.read_text()] == []


@built
def test_equations_are_mathml(site: Path) -> None:
    page = (site / "explanation" / "engine.html").read_text()
    assert '<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">' in page


@built
def test_search_knows_every_page(site: Path) -> None:
    index = (site / "searchindex.js").read_text()
    found = json.loads(index.removeprefix("Search.setIndex(").removesuffix(")"))
    assert {"explanation/engine", "how-to/tune", "notebooks/7_blending"} <= set(found["docnames"])
    assert "lattic" in found["terms"]


@built
def test_figures_are_shown_for_light_and_dark_pages(site: Path) -> None:
    page = (site / "explanation" / "engine.html").read_text()
    shown = set(re.findall(r'src="\.\./_images/([\w-]+)\.svg"', page))
    assert {
        f"{name}-{theme}" for name in ("windows", "borders", "ledger") for theme in ("light", "dark")
    } <= shown


@pytest.mark.parametrize("page", [pytest.param(one, id=str(one.relative_to(ROOT))) for one in FILES])
def test_links_of_files_lead_somewhere(page: Path) -> None:
    dead = []
    for link in written(page):
        path, anchor = split(link)
        target = (page.parent / path).resolve() if path else page
        if is_external(link):
            dead += [] if is_well_formed(link) else [link]
        elif not _stands(target, anchor):
            dead.append(link)
    assert dead == []


def _stands(target: Path, anchor: str) -> bool:
    return target.exists() and (not anchor or target.suffix != ".md" or anchor in headings(target))


@pytest.mark.parametrize(
    "page", [pytest.param(one, id=str(one.relative_to(ROOT))) for one in dict.fromkeys([*FILES, *pages()])]
)
def test_tests_that_are_named_exist(page: Path) -> None:
    named = re.findall(r"\btests/[\w/-]+(?:\.\w+)?", page.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []
