"""Build the site: `python -m docs.build OUT`. While writing: `python -m docs.build OUT --draft`.

Everything is made from the repository and the installed package, without a network: the notebooks are executed, the
figures are drawn by the engine, the reference is read off commands, settings and docstrings. All that goes to a copy
of `docs/`, never into it. A warning of Sphinx's ends the build, as does a page that is missing.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from nbclient.exceptions import CellControlSignal

from docs import figures
from docs.reference import cli, configuration, product, python
from notebooks import render

ROOT = Path(__file__).parents[1]

_GENERATED = re.compile(r"<!-- generated: (\w+) -->")


def build(out: Path, execute: bool = True, strict: bool = True) -> str:
    """Build the site and return what Sphinx warned of.

    Parameters
    ----------
    out
        A folder; `out/index.html` is where to begin. What stands there is replaced.
    execute
        Run the notebooks; else they are shown without outputs.
    strict
        End with an error where Sphinx warns.

    Raises
    ------
    RuntimeError
        If Sphinx failed, or warned and `strict`.
    CellControlSignal
        If a notebook fails.
    """
    with TemporaryDirectory(prefix="docs-") as folder:
        sources = assemble(Path(folder).resolve(), execute)
        shutil.rmtree(out, ignore_errors=True)
        command = [sys.executable, "-m", "sphinx", "-q", "-n", "-b", "html", "-d", f"{folder}/.doctrees"]
        command += ["-W", "--keep-going"] if strict else []
        done = subprocess.run(
            [*command, sources, out.resolve()], cwd=folder, stderr=subprocess.PIPE, text=True, check=False
        )
        warnings = done.stderr.replace(str(sources.parent), str(ROOT))
    if done.returncode:
        raise RuntimeError(f"Sphinx is not content:\n{warnings}")
    return warnings


def assemble(folder: Path, execute: bool) -> Path:
    """Make a copy of `docs/` with all that is generated, beside links to the rest of the repository; return it."""
    for entry in ROOT.iterdir():
        if entry.name != "docs" and not entry.name.startswith("."):
            (folder / entry.name).symlink_to(entry)
    sources = shutil.copytree(ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    for notebook in render.sources():
        runs = execute and (render.data_folder().is_dir() or not render.needs_data(notebook))
        render.render(notebook, sources / "notebooks", execute=runs)
    figures.draw_all(sources / "figures")
    for generator in (cli, configuration, product, python):
        page = sources / "reference" / f"{generator.__name__.rpartition('.')[2]}.md"
        page.write_text(filled(page.read_text(), generator.parts()))
    return sources


def filled(page: str, parts: dict[str, str]) -> str:
    """Return a page with `<!-- generated: NAME -->` replaced by the part of that name; each is asked for once.

    Raises
    ------
    RuntimeError
        If page and parts do not agree.
    """
    asked = _GENERATED.findall(page)
    if sorted(asked) != sorted(parts):
        raise RuntimeError(f"the page asks for {sorted(asked)}, generated are {sorted(parts)}: name the same")
    return _GENERATED.sub(lambda match: parts[match[1]], page)


def main(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the site.")],
    draft: Annotated[
        bool, typer.Option("--draft", help="Do not execute notebooks; show warnings and go on.")
    ] = False,
) -> None:
    """Build the site."""
    try:
        print(build(out, execute=not draft, strict=not draft), file=sys.stderr, end="")
    except (RuntimeError, CellControlSignal) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None
    print(os.fspath(out / "index.html"))


if __name__ == "__main__":
    typer.run(main)
