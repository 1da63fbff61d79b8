"""Links of a file lead to the same places from the page that includes it."""

import pytest

from docs.included import relinked, without_comments
from tests.docs.pages import ROOT


@pytest.mark.parametrize(
    ("file", "parent", "text", "expected"),
    [
        ("README.md", "index", "[s](SECURITY.md#secrets)", "[s](explanation/security.md#secrets)"),
        ("SECURITY.md", "explanation/security", "[c](CHANGELOG.md)", "[c](../changelog.md)"),
        ("SECURITY.md", "explanation/security", "[f](flows/demo.py)", "[f](path:../../flows/demo.py)"),
        ("cluster/README.md", "cluster", "[s](../SECURITY.md)", "[s](explanation/security.md)"),
        ("cluster/README.md", "cluster", "[n](../notebooks/)", "[n](index.md)"),
        ("README.md", "index", "[t](tests/)", "t"),
        ("README.md", "index", "![p](docs/dubai.png)", "![p](dubai.png)"),
        ("README.md", "index", "[w](https://semver.org) [h](#here)", "[w](https://semver.org) [h](#here)"),
    ],
)
def test_links_are_rewritten(file: str, parent: str, text: str, expected: str) -> None:
    assert relinked(text, ROOT, (ROOT / file).relative_to(ROOT), parent) == expected


def test_comments_for_the_tests_leave_their_lines() -> None:
    page = "a\n<!-- run first:\nls\n-->\nb\n<!-- not run: c -->\n<!-- stays -->\n"
    assert without_comments(page) == "a\n\n\n\nb\n\n<!-- stays -->\n"
