"""Links of pages, as they are written and as they are built."""

import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, Tag
from markdown_it import MarkdownIt

_LOADED = {"script": "src", "img": "src", "source": "src", "iframe": "src", "video": "src", "object": "data"}
_LOADING = {"stylesheet", "icon", "preload", "modulepreload", "prefetch", "preconnect", "dns-prefetch"}
"""What a `link` may be that a browser follows by itself."""


@cache
def parsed(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(), "html.parser")


def leads(page: Path) -> Iterator[str]:
    """Yield where the links and pictures of a built page lead."""
    for tag in parsed(page).find_all(["a", "img"]):
        yield str(tag.get("href") or tag.get("src") or "#")


def loads(page: Path) -> Iterator[str]:
    """Yield what a browser loads for a built page by itself, its styles' own included."""
    soup = parsed(page)
    for name, attribute in _LOADED.items():
        yield from (str(tag[attribute]) for tag in soup.find_all(name) if tag.has_attr(attribute))
    for tag in soup.find_all("link"):
        if _LOADING & set(tag.get_attribute_list("rel")):
            yield str(tag["href"])
    yield from (url for tag in soup.find_all("style") for url in loaded_by_style(tag.get_text()))


def loaded_by_style(css: str) -> list[str]:
    """Return what a style sheet loads."""
    return re.findall(r"""(?:url\(|@import)\s*["']?([^"')\s;]+)""", css)


@cache
def anchors(page: Path) -> set[str]:
    """Return what a `#` may name in a built page."""
    return {str(tag["id"]) for tag in parsed(page).find_all(id=True) if isinstance(tag, Tag)} | {"", "top"}


def written(page: Path) -> Iterator[str]:
    """Yield where the links and pictures of a Markdown file lead."""
    for token in MarkdownIt("commonmark").parse(page.read_text()):
        for child in token.children or ():
            if target := child.attrGet("href") or child.attrGet("src"):
                yield str(target)


def headings(page: Path) -> set[str]:
    """Return the anchors of a Markdown file's headings, as forges and this site make them."""
    tokens = MarkdownIt("commonmark").parse(page.read_text())
    titles = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def split(link: str) -> tuple[str, str]:
    """Return path and anchor."""
    parts = urlsplit(link)
    return unquote(parts.path), unquote(parts.fragment)


def is_external(link: str) -> bool:
    return bool(urlsplit(link).scheme) or link.startswith("//")


def is_well_formed(link: str) -> bool:
    """Whether an external link could be followed."""
    parts = urlsplit(link)
    return parts.scheme == "mailto" or (
        parts.scheme in ("http", "https") and bool(parts.hostname) and " " not in link
    )
