"""What is made of pages before they are parsed.

Of a file of the repository that a page includes, relative links are made to lead where they should from there. Comments
that say how blocks are run are for the tests, and left out.
"""

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from sphinx.application import Sphinx

PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "README.md": "index.md",
    "SECURITY.md": "explanation/security.md",
    "cluster/README.md": "cluster.md",
    "cluster/containers/README.md": "containers.md",
    "cluster/kubernetes/README.md": "kubernetes.md",
    "notebooks/README.md": "index.md",
}
"""Files at or below the repository's root, and the pages of the site that show them or stand for them."""

_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]\n]*)\]\((?P<target>[^)\s:#]+)(?P<anchor>#[^)\s]*)?\)")
_PICTURE = re.compile(r"!\[(?P<text>[^\]\n]*)\]\((?P<target>[^)\s:]+)\)")


_FOR_TESTS = re.compile(r"^<!-- (?:run first|not run|needs):.*?-->$", re.DOTALL | re.MULTILINE)


def setup(app: Sphinx) -> dict[str, Any]:
    """Rewrite what is read before it is parsed."""
    app.connect("include-read", _include)
    app.connect("source-read", _read)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def _include(app: Sphinx, file: Path, parent: str, content: list[str]) -> None:
    root = (Path(app.srcdir).parent / "pyproject.toml").resolve().parent  # of links, where docs/ is a copy
    included = (app.srcdir / file).resolve().relative_to(root)
    content[0] = relinked(without_comments(content[0]), root, included, app.env.docname)


def _read(app: Sphinx, page: str, content: list[str]) -> None:
    content[0] = without_comments(content[0])


def without_comments(text: str) -> str:
    """Return a page without the comments that are for the tests; its lines keep their numbers."""
    return _FOR_TESTS.sub(lambda match: "\n" * match[0].count("\n"), text)


def relinked(text: str, root: Path, file: Path, parent: str) -> str:
    """Return Markdown whose links lead from a page to where they led from a file.

    Parameters
    ----------
    text
        Of the file.
    root
        Of the repository; the site's sources are in its `docs`.
    file
        The included one, below `root`.
    parent
        Name of the page that includes it, such as `explanation/security`.
    """
    here = PurePosixPath("docs", parent).parent

    def link(match: re.Match[str]) -> str:
        target = PurePosixPath(os.path.normpath(file.parent / match["target"]))
        if (root / target / "README.md").is_file():
            target /= "README.md"
        if (root / target).is_dir():
            return match["text"]  # nothing that a page could lead to
        if str(target) in PAGES:
            page = os.path.relpath(PurePosixPath("docs") / PAGES[str(target)], here)
            return f"[{match['text']}]({page}{match['anchor'] or ''})"
        return f"[{match['text']}](path:{os.path.relpath(target, here)})"  # to be downloaded

    def picture(match: re.Match[str]) -> str:
        return f"![{match['text']}]({os.path.relpath(file.parent / match['target'], here)})"

    return _PICTURE.sub(picture, _LINK.sub(link, text))
