"""Docstrings are written for people and editors; what reStructuredText would take for marks in them is escaped."""

import re
from typing import Any

from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, Any]:
    """Escape before the sections of a docstring are read."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", _escape, priority=100)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def _escape(app: Sphinx, what: str, name: str, found: Any, options: Any, lines: list[str]) -> None:
    lines[:] = [escaped(line) for line in lines]


def escaped(line: str) -> str:
    """Return a line with bars, stars and trailing underscores escaped outside of code."""
    parts = re.split(r"(`[^`]*`)", line)
    return "".join(
        part if part.startswith("`") else re.sub(r"([|*]|_(?=\W|$))", r"\\\1", part) for part in parts
    )
