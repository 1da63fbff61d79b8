"""Runs what containers would run, as processes of this machine: their commands and environments, on free ports."""

import os
import random
import re
import shlex
import socket
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import Popen

from tests.chaos.processes import Processes

CLUSTER = Path(__file__).parents[2] / "cluster"
BIN = Path(sys.executable).parent

_VARIABLE = re.compile(r"\$\$|\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<word>[^}]*))?\}")


class Site:
    """A place where containers' commands run; ends all of them with its block."""

    def __init__(self, folder: Path, here: Mapping[str, str], ports: Sequence[int]) -> None:
        """Prepare it.

        Parameters
        ----------
        here
            What stands for a name, an address or a path of theirs.
        ports
            Those that they listen on; each becomes a free one.
        """
        self._here = {**here, **{str(port): str(free_port()) for port in ports}}
        names = sorted((name for name in self._here if not name.isdigit()), key=len, reverse=True)
        self._theirs = re.compile("|".join([*map(re.escape, names), *(rf"(?<!\d){p}(?!\d)" for p in ports)]))
        self.processes = Processes(folder, {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"})

    def __enter__(self) -> "Site":
        return self

    def __exit__(self, *_: object) -> None:
        while alive := self.processes.alive():
            for process in alive:
                process.kill()

    def words(self, text: str) -> str:
        """Return a word of a command or an environment as it is to be here; files of the checkout are."""
        if text.startswith(str(CLUSTER)):
            return text
        return self._theirs.sub(lambda found: self._here[found[0]], text)

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> "Popen[bytes]":
        """Start a command; its log has the name."""
        return self.processes.start(
            name,
            [self.words(word) for word in command],
            {key: self.words(value) for key, value in env.items()},
        )

    def run(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> tuple[int, str]:
        """Run a command to its end, and return its status and what it said."""
        status = self.start(name, command, env).wait(timeout=240)
        return status, self.said(name)

    def said(self, name: str) -> str:
        """Return what a command has said so far."""
        return self.processes.log(name).read_text()

    def answers(self, url: str) -> bool:
        """Whether a page is there."""
        try:
            with urllib.request.urlopen(self.words(url), timeout=5):
                return True
        except OSError:
            return False


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """Put in values for `${NAME:-default}` and `${NAME:?message}`, as Compose does."""

    def value(found: "re.Match[str]") -> str:
        if found["name"] is None:
            return "$"
        given = variables.get(found["name"])
        assert given or found["kind"] == "-", f"{found['name']} is not given: {found['word']}"
        return given or found["word"]

    return _VARIABLE.sub(value, text)


def variables_of(text: str) -> list[tuple[str, str | None, str | None]]:
    """Return name, kind (`-` or `?`) and default or message of each variable."""
    return [(m["name"], m["kind"], m["word"]) for m in _VARIABLE.finditer(text) if m["name"]]


def commands_in(page: Path, beginning: str) -> list[list[str]]:
    """Return what follows a beginning in the commands that a page shows, each as words."""
    joined = page.read_text().replace("\\\n", " ")
    lines = (line.strip().removeprefix("$ ") for line in joined.splitlines())
    return [shlex.split(line.removeprefix(beginning)) for line in lines if line.startswith(beginning)]


def free_port() -> int:
    """Return a port below those that the kernel hands out: nobody else gets it before it is used."""
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("all of 100 ports are taken")
