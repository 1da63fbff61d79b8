"""Whatever is fed in, the answer is a product or one sentence, in bounded time and memory."""

from pathlib import Path

import pytest

from tests.awkward import files, items, rasters, stores
from tests.awkward.runner import Runner
from tests.awkward.table import Row, check, note, outcome_of

ROWS = [*rasters.rows, *stores.rows, *items.rows]


THROUGH_THE_COMMAND_LINE = ROWS[::12]


def _check(
    row: Row, folder: Path, runner: Runner, models: dict[int, Path], request: pytest.FixtureRequest
) -> None:
    outcome = outcome_of(row, folder, runner, models)
    note(request, row, outcome, folder)
    check(row, outcome)


@pytest.mark.parametrize("row", THROUGH_THE_COMMAND_LINE, ids=str)
def test_the_command_line_answers_alike(
    row: Row, tmp_path: Path, runner: Runner, models: dict[int, Path]
) -> None:
    check(row, outcome_of(row, tmp_path, runner, models, command_line=True))


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_product_or_a_sentence(
    row: Row, tmp_path: Path, runner: Runner, models: dict[int, Path], request: pytest.FixtureRequest
) -> None:
    _check(row, tmp_path, runner, models, request)


@pytest.mark.real
@pytest.mark.parametrize("row", files.rows, ids=str)
def test_real_files(
    row: Row, tmp_path: Path, runner: Runner, models: dict[int, Path], request: pytest.FixtureRequest
) -> None:
    _check(row, tmp_path, runner, models, request)


def test_every_row_has_a_name_of_its_own() -> None:
    names = [row.name for row in [*ROWS, *files.rows]]
    assert len(set(names)) == len(names)


@pytest.mark.real
def test_all_real_files_are_rows(real_data: Path) -> None:
    assert len(files.rows) == len(list((real_data / "awkward").rglob("*.tif"))) == 33
