"""Help is in groups, and every example in it can be typed."""

import re

import pytest

from rsmtl.cli import COMMANDS, GROUPS, app
from tests.cli.conftest import Call

EXAMPLES = [example for group in GROUPS.values() for example in group.values()]
FIRST_STEPS = [line.partition("  ")[0] for line in app.info.epilog.split("\n\n") if line.startswith("rsmtl ")]


def test_every_command_is_in_a_group_under_its_heading(call: Call) -> None:
    shown = call("--help").out
    headings = [shown.index(f" {heading} ") for heading in GROUPS]
    assert headings == sorted(headings)
    ends = [*headings[1:], len(shown)]
    for group, begin, end in zip(GROUPS.values(), headings, ends, strict=True):
        for command in group:
            assert re.search(rf"│ {command.__name__} ", shown[begin:end])
    assert len(COMMANDS) == len(set(COMMANDS)) == len(EXAMPLES)


def test_there_are_first_steps() -> None:
    assert [step.split()[1] for step in FIRST_STEPS] == ["demo", "models", "plan", "predict"]


@pytest.mark.parametrize("example", [*EXAMPLES, *FIRST_STEPS])
def test_an_example_has_options_that_there_are(call: Call, example: str) -> None:
    program, command, *words = example.split()
    ended = call(command, *words, "--help")
    assert (program, ended.status, ended.err) == ("rsmtl", 0, "")
    shown = " ".join(ended.out.split())
    assert "For example: rsmtl " in shown
