"""What a command tells: tables and sentences for people, one JSON object for programs, an exit status for shells."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from rsmtl.errors import RsmtlError
from rsmtl.logs import tell, tell_failed

_LOG = logging.getLogger(__name__)

INTERRUPTED = 130
"""What shells expect of a program that Ctrl-C has ended."""

_GRAVEST_FIRST = (INTERRUPTED, 1, 2)


class Interrupted(RsmtlError):
    """Ctrl-C."""

    exit_status = INTERRUPTED


@dataclass(frozen=True)
class Failure:
    """Something that went wrong."""

    subject: str
    """The scene or product that failed; empty for the command as a whole."""
    error: RsmtlError


class Report:
    """Where a command's output goes, and what has failed so far."""

    def __init__(self, command: str, as_json: bool) -> None:
        self._command, self._as_json = command, as_json
        self._people = Console(stderr=as_json, highlight=False, markup=False, emoji=False)
        self.notes = Console(stderr=True, highlight=False, markup=False, emoji=False)
        """For what is of interest only while the command runs."""
        self.failures: list[Failure] = []

    def show(self, what: RenderableType) -> None:
        """Print a result for people: to standard output, or to standard error where that is kept for JSON."""
        self._people.print(what, soft_wrap=isinstance(what, str))

    def note(self, subject: str, sentence: str) -> None:
        """Print the one line of what should be known of a scene that goes well all the same."""
        line = Text(f"{printable(subject)}: ", style="bold yellow")
        line.append(printable(" ".join(sentence.split())), style="not bold default")
        self.notes.print(line, soft_wrap=True)

    def fail(self, subject: str, error: RsmtlError) -> None:
        """Print the one line that says what is wrong, and remember it."""
        self.failures.append(Failure(subject, error))
        tell_failed(_LOG, subject, error)
        line = Text(f"{printable(subject)}: " if subject else "", style="bold red")
        line.append(one_line(error), style="not bold default")
        self.notes.print(line, soft_wrap=True)

    def interrupt(self, sentence: str) -> None:
        """Report a Ctrl-C; of several, the first knows most."""
        if not any(isinstance(failure.error, Interrupted) for failure in self.failures):
            self.fail("", Interrupted(sentence))

    def close(self, **result: Any) -> int:
        """Print the JSON object if it was asked for, and return the exit status."""
        statuses = {failure.error.exit_status for failure in self.failures}
        status = next((s for s in _GRAVEST_FIRST if s in statuses), 0)
        tell(_LOG, "run ended", command=self._command, exit_status=status, n_failed=len(self.failures))
        if self._as_json:
            errors = [
                {"subject": f.subject, "type": type(f.error).__name__, "message": one_line(f.error)}
                for f in self.failures
            ]
            print(json.dumps({"command": self._command, "exit_status": status, **result, "errors": errors}))
        return status


def one_line(error: RsmtlError) -> str:
    """Return an error's sentence without line breaks; what it quotes of others may have some."""
    return printable(" ".join(str(error).split()))


def printable(text: str) -> str:
    """Return text without what could command a terminal: ids and messages may come from anybody's catalogue."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def plain_table(*texts: str, figures: Sequence[str] = (), title: str | None = None) -> Table:
    """Return an empty table: first columns of text, which may take several lines, then columns of figures."""
    table = Table(
        box=None, title=title, title_justify="left", title_style="bold", header_style="dim", pad_edge=False
    )
    for heading in texts:
        table.add_column(heading, overflow="fold")
    for heading in figures:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
