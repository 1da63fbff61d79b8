"""Lines for people, one object for programs, a status for shells."""

import json

import pytest

from rsmtl.cli.report import Report, plain_table
from rsmtl.errors import InputError, RunError


def test_the_gravest_error_gives_the_status(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report("predict", as_json=False)
    assert report.close() == 0
    report.fail("a", InputError("wrong"))
    assert report.close() == 2
    report.fail("b", RunError("full"))
    assert report.close() == 1
    report.interrupt("interrupted: 3 of 4 stand")
    report.interrupt("interrupted")
    assert report.close() == 130
    assert capsys.readouterr().err.splitlines() == ["a: wrong", "b: full", "interrupted: 3 of 4 stand"]


def test_a_long_message_with_line_breaks_stays_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Report("predict", as_json=False).fail("scene", RunError("GDAL said:\n" + "so much " * 60))
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_json_is_the_last_line_and_all_of_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report("verify", as_json=True)
    table = plain_table("Product", figures=("Chunks",))
    table.add_row("[red]", "3")
    report.show(table)
    report.fail("scene", RunError("differs"))
    assert report.close(products=[1]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "command": "verify",
        "exit_status": 1,
        "products": [1],
        "errors": [{"subject": "scene", "type": "RunError", "message": "differs"}],
    }
    assert "[red]" in err
