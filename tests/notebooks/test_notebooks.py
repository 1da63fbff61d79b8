"""Every notebook runs from a clean folder, draws something, warns of nothing and leaves no process behind."""

import re
import sys
from base64 import b64decode
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import jupytext
import nbformat
import numpy as np
import psutil
import pytest
import typer
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from PIL import Image
from typer.testing import CliRunner, Result

from notebooks import render

MARK = "NOTEBOOK_TEST"
ENDING_S = 60
"""For worker processes that outlive their kernel for a moment."""

each_notebook = pytest.mark.parametrize("source", render.sources(), ids=lambda source: source.stem)


@pytest.fixture
def ends_its_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail if a process outlives the test that began it, and end it; all inherit the mark."""
    monkeypatch.setenv(MARK, str(tmp_path))
    yield
    _, alive = psutil.wait_procs(_marked(str(tmp_path)), timeout=ENDING_S)
    names = [" ".join(process.cmdline()) for process in alive]
    for process in alive:
        process.kill()
    assert not names


def _marked(mark: str) -> list[psutil.Process]:
    return [p for p in psutil.process_iter(["environ"]) if (p.info["environ"] or {}).get(MARK) == mark]


@each_notebook
@pytest.mark.usefixtures("ends_its_processes")
def test_runs(source: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if render.needs_data(source):
        request.getfixturevalue("real_data")
    made = nbformat.read(render.render(source, tmp_path), as_version=4)
    nbformat.validate(made)
    cells = [cell for cell in made.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    told = "".join(output.text for output in _outputs(made) if output.get("name") == "stderr")
    assert not re.search(r"Traceback|Warning\b", told), told
    pictures = [b64decode(output.data["image/png"]) for output in _outputs(made) if _is_picture(output)]
    assert pictures
    for picture in pictures:
        with Image.open(BytesIO(picture)) as image:
            assert len(np.unique(np.asarray(image.convert("L")))) > 16  # not blank


def _outputs(notebook: NotebookNode) -> list[NotebookNode]:
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


def _is_picture(output: NotebookNode) -> bool:
    return "image/png" in output.get("data", {})


@each_notebook
def test_is_clean_text(source: Path) -> None:
    text = source.read_text()
    notebook = jupytext.reads(text, fmt="py:percent")
    assert _cells(jupytext.writes(notebook, fmt="py:percent")) == _cells(text)
    compile(text, source.name, "exec")  # no magic: it runs as a plain script too
    markdown = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    titles = [line for source in markdown for line in source.splitlines() if line.startswith("# ")]
    assert notebook.cells[0].source.splitlines()[0] == titles[0]
    assert len(titles) == 1


def _cells(text: str) -> str:
    """Leave out the header, in which jupytext writes its version."""
    return text[text.index("# %%") :]


def test_only_text_is_kept() -> None:
    assert [source.name for source in render.FOLDER.glob("*.ipynb")] == []
    assert [int(source.name.split("_")[0]) for source in render.sources()] == list(
        range(1, len(render.sources()) + 1)
    )


@pytest.mark.usefixtures("ends_its_processes")
def test_a_failing_cell_is_shown(tmp_path: Path) -> None:
    source = tmp_path / "1_fails.py"
    source.write_text("# %% [markdown]\n# # Fails\n\n# %%\nx = 1\n\n# %%\nprint(x / 0)  # this one\n")
    with pytest.raises(CellExecutionError, match=r"print\(x / 0\)  # this one"):
        render.render(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("ends_its_processes")
def test_runs_in_a_fresh_folder_by_this_interpreter(tmp_path: Path) -> None:
    source = tmp_path / "1_where.py"
    source.write_text(
        "# %%\nimport os, sys\nprint(sys.prefix, os.listdir(), os.environ['RSMTL_DATA'], sep='\\n')\n"
    )
    (output,) = _outputs(nbformat.read(render.render(source, tmp_path / "out"), as_version=4))
    prefix, listed, data = output.text.splitlines()
    assert (prefix, listed) == (sys.prefix, "[]")
    assert Path(data).is_absolute()


def test_without_execution_there_are_no_outputs(tmp_path: Path) -> None:
    source = tmp_path / "1_draws.py"
    source.write_text("# %% [markdown]\n# # Title\n\n# %%\nraise SystemExit\n")
    made = nbformat.read(render.render(source, tmp_path, execute=False), as_version=4)
    assert [cell.source for cell in made.cells] == ["# Title", "raise SystemExit"]
    assert _outputs(made) == []


def test_needs_data(tmp_path: Path) -> None:
    source = tmp_path / "1_real.py"
    source.write_text(f"# %% [markdown]\n# # Real\n\n{render.NEEDS_DATA}\n")
    assert render.needs_data(source)
    source.write_text("# %%\nname = 'RSMTL_DATA'\n")
    assert not render.needs_data(source)


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    found = _run(tmp_path, "8_nothing")
    assert found.exit_code == 2
    assert "8_nothing" in found.output


@pytest.mark.usefixtures("ends_its_processes")
def test_the_command_goes_on_without_imagery_and_stops_at_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render, "FOLDER", tmp_path)
    monkeypatch.setenv("RSMTL_DATA", str(tmp_path / "none"))
    (tmp_path / "1_real.py").write_text(f"{render.NEEDS_DATA}\n\n# %%\nraise SystemExit\n")
    (tmp_path / "2_fails.py").write_text("# %%\n1 / 0\n")
    found = _run(tmp_path / "out")
    assert found.exit_code == 1
    assert "not executed" in found.stdout
    assert "1 / 0" in found.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["1_real.ipynb"]


def _run(*arguments: str | Path) -> Result:
    app = typer.Typer()
    app.command()(render.main)
    return CliRunner().invoke(app, list(map(str, arguments)))
