"""What of a page is run: its fenced blocks of Python, console and YAML, and what is said about them.

- `python` blocks run in order in one namespace, `console` blocks in one shell (bash -e) that ends with the page. In a
  console block, lines that begin with `$ ` are commands, which go on after a `\\` and up to an `EOF`; the others are
  output as it is shown, which is not compared.
- `<!-- not run: reason -->` before a block: it is not.
- `<!-- run first:`, lines of bash, `-->`: what the page needs and does not show. `$ROOT` is the repository.
- `<!-- needs: RSMTL_DATA -->`: the page reads the real imagery.

A page runs in a fresh folder, with a loopback of its own where the machine allows that: no other process has its ports.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
NEEDS_DATA = "<!-- needs: RSMTL_DATA -->"

SHOWN = {"diff", "dockerfile", "ini", "json", "text", "toml"}
"""Languages of blocks that are only read."""

_RUN_FIRST = re.compile(r"<!-- run first:\n(.*)^-->\s*\Z", re.DOTALL | re.MULTILINE)
_NOT_RUN = re.compile(r"<!-- not run: \S.* -->\s*\Z")


@dataclass(frozen=True)
class Block:
    """A piece of a page that is run or read."""

    kind: Literal["python", "console", "yaml"]
    text: str
    line: int
    """Of its first line in the page, counted from 1."""


def pages() -> list[Path]:
    """Return every page of the project, whoever wrote it."""
    own = [ROOT / "README.md", ROOT / "SECURITY.md"]
    return own + [
        one for folder in ("cluster", "notebooks", "docs") for one in sorted((ROOT / folder).rglob("*.md"))
    ]


def blocks(page: Path) -> list[Block]:
    """Return what of a page is to be run, in its order.

    Raises
    ------
    ValueError
        If a block's language is none that a page may have, or a console block has no command.
    """
    found: list[Block] = []
    before = ""  # the comment that stands directly before
    for token in MarkdownIt("commonmark").parse(page.read_text()):
        line = token.map[0] + 1 if token.map else 0
        if token.type == "fence" and not _NOT_RUN.match(before):
            found += _block(token.info.strip(), token.content, f"{page}:{line}", line + 1)
        if token.type == "html_block" and (hidden := _RUN_FIRST.match(token.content)):
            found.append(Block("console", hidden[1], line + 1))
        before = token.content if token.type == "html_block" else ""
    return found


def _block(language: str, text: str, where: str, line: int) -> list[Block]:
    if language in ("python", "yaml"):
        return [Block(language, text, line)]
    if language == "console":
        return [Block("console", commands(text, where), line)]
    if language in SHOWN or (re.match(r"\{(?!code|sourcecode|literal)", language) and "```" not in text):
        return []
    allowed = ", ".join(sorted({"console", "python", "yaml", *SHOWN}))
    raise ValueError(f"{where}: a block's language must be one of {allowed}, got {language!r}")


def commands(text: str, where: str = "") -> str:
    """Return the commands of a console block, each on its line, without their output."""
    found: list[str] = []
    until = ""  # what ends the command that is being read
    for line in text.splitlines():
        if not until and not line.startswith("$ "):
            found.append("")  # output; lines keep their numbers
            continue
        found.append(line if until else line[2:])
        if until == "EOF":
            until = "" if line == "EOF" else "EOF"
        elif re.search(r"<<-?\s*'?EOF'?", line):
            until = "EOF"
        else:
            until = "\\" if line.endswith("\\") else ""
    if not any(found) or until:
        raise ValueError(f"{where}: commands begin with '$ ' and come to an end, got {text!r}")
    return "\n".join(found)
