"""The awkward table: a row for each input, what it must come to, and the judge of what it came to."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pystac
import pytest

from tests.awkward.noted import TITLE
from tests.awkward.runner import Ended, Runner

SMALL = ("--window", "128", "--overlap", "16", "--json")
GROWN_BYTES = 2**30
"""By how much no input may make the process grow."""


@dataclass(frozen=True)
class Row:
    """An input, and what must come of it."""

    name: str
    make: Callable[[Path], object]
    """Is given an empty folder, and returns a source, or all the words that stand for one."""
    says: str = ""
    """Pattern of the sentence that must come; empty for a product."""
    status: int | None = 2
    """Exit status of a refusal: 1 if the run began, 2 if it did not, None if either will do."""
    bands: int = 1
    """Of the model."""

    def __str__(self) -> str:
        return self.name


class Rows(list[Row]):
    """Rows in the making; a decorator of the functions that make the inputs."""

    def __call__(self, name: str, says: str = "", status: int = 2, bands: int = 1):
        def keep(make: Callable[[Path], object]) -> Callable[[Path], object]:
            self.append(Row(name, make, says, status, bands))
            return make

        return keep


HUNG = Ended(None, hung=True)


@dataclass(frozen=True)
class Outcome:
    """What a row came to."""

    kind: str
    """One of `noted.TOTALS`."""
    said: str = ""
    ended: Ended = HUNG


def outcome_of(
    row: Row, folder: Path, runner: Runner, models: dict[int, Path], command_line: bool = False
) -> Outcome:
    """Run a row in an empty folder: make its product, and verify what that leaves."""
    (folder / "in").mkdir()
    made, model, out = row.make(folder / "in"), models[row.bands], folder / "out"
    source, *options = made if isinstance(made, (list, tuple)) else [made]
    if command_line:
        ended = runner.call("predict", source, *options, "--model", model, "--out", out, *SMALL)
    else:
        ended = runner.call("direct make", model, out, source, *options[1:])
    return judge(ended, out, runner)


def judge(ended: Ended, out: Path, runner: Runner) -> Outcome:
    """Say what a call for one scene came to, from what it printed and what it left."""
    if ended.hung:
        return Outcome("hang")
    if ended.status not in (0, 1, 2) or "Traceback" in ended.out + ended.err:
        return Outcome("traceback", ended.err[-2000:], ended)
    items = list(out.rglob("item.json"))
    if ended.status == 0:
        trouble = _incomplete(items, runner)
        return Outcome("half", trouble, ended) if trouble else Outcome("product", "", ended)
    lines = ended.err.splitlines()
    said = lines[0] if len(lines) == 1 else ""
    errors = ended.json["errors"]
    if len(errors) != 1 or not said or errors[0]["message"] not in said:
        return Outcome("traceback", ended.err[-2000:], ended)
    begun = [path for path in out.rglob("*") if path.is_file()] if out.exists() else []
    resumable = errors[0]["type"] == "RunError" and any(path.name == "fingerprint.json" for path in begun)
    if items or (begun and not resumable):
        return Outcome("half", f"{said} BUT LEFT {begun[0]}", ended)
    return Outcome("sentence", said, ended)


def _incomplete(items: Sequence[Path], runner: Runner) -> str:
    """What is wrong with what should be one product; nothing, if it is whole."""
    if len(items) != 1:
        return f"{len(items)} items"
    found = json.loads(items[0].read_text())
    try:
        pystac.Item.from_dict({**found, "stac_extensions": []}, migrate=False).validate()
    except Exception as error:  # whatever is wrong with it
        return f"the item is not valid: {error}"
    missing = [a["href"] for a in found["assets"].values() if not (items[0].parent / a["href"]).exists()]
    verified = runner.call("direct check", items[0].parent)
    return f"without {missing}" if missing else (verified.err if verified.status else "")


def check(row: Row, outcome: Outcome) -> None:
    """Assert that a row came to what it must, within bounded memory."""
    wanted = "sentence" if row.says else "product"
    assert outcome.kind == wanted, f"{row.name}: {outcome.kind}: {outcome.said}"
    assert outcome.ended.grown_bytes < GROWN_BYTES, f"{row.name} took {outcome.ended.grown_bytes:,} bytes"
    if row.says:
        assert re.search(row.says, outcome.said), f"{row.name}: {outcome.said}"
        assert row.status in (outcome.ended.status, None), f"{row.name}: {outcome.said}"


def note(request: pytest.FixtureRequest, row: Row, outcome: Outcome, folder: Path) -> None:
    """Keep an outcome for the table at the end, also across the processes of pytest-xdist."""
    said, ended = outcome.said.replace(str(folder / "in"), "…"), outcome.ended
    request.node.user_properties.append(
        (TITLE, [row.name, outcome.kind, said, ended.seconds, ended.grown_bytes])
    )
