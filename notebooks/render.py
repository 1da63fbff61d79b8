"""Execute the notebooks and write them with their outputs: `python -m notebooks.render OUT [NAMES]`.

They are kept as text (py:percent), without outputs. Each runs in a fresh folder of its own, which is removed.
"""

import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import jupytext
import nbformat
import typer
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, DeadKernelError
from nbformat import NotebookNode

FOLDER = Path(__file__).parent
NEEDS_DATA = "# needs: RSMTL_DATA"
"""The line of a notebook that reads real imagery."""

CELL_LIMIT_S = 240
KERNELSPEC = {"name": "python3", "display_name": "Python 3", "language": "python"}


def sources() -> list[Path]:
    """Return the notebooks, in the order in which they are to be read."""
    return sorted(FOLDER.glob("[0-9]*.py"))


def needs_data(source: Path) -> bool:
    """Say whether a notebook reads the real imagery in `data_folder()`."""
    return NEEDS_DATA in source.read_text().splitlines()


def data_folder() -> Path:
    """Return where the real imagery is looked for, as an absolute path; it need not be there."""
    return Path(os.environ.get("RSMTL_DATA", FOLDER.parent / "../shared/data")).resolve()


def render(source: Path, out: Path, execute: bool = True) -> Path:
    """Write a notebook as `out/<name>.ipynb`.

    Parameters
    ----------
    source
        A notebook as text.
    out
        A folder, made if need be.
    execute
        Run all cells, and keep what they print and draw; else there are no outputs.

    Returns
    -------
    Path
        Of what was written.

    Raises
    ------
    CellControlSignal
        If a cell fails or takes too long: `CellExecutionError` and `CellTimeoutError`, which quote the cell.
    DeadKernelError
        If the process that runs the cells dies.
    """
    notebook = jupytext.read(source, fmt="py:percent")
    notebook.metadata["kernelspec"] = KERNELSPEC
    if execute:
        _execute(notebook)
    out.mkdir(parents=True, exist_ok=True)
    written = out / f"{source.stem}.ipynb"
    nbformat.write(notebook, written)  # type: ignore[no-untyped-call]
    return written


def _execute(notebook: NotebookNode) -> None:
    """Run the cells in a fresh folder, by this interpreter, whatever kernels the machine knows."""
    with TemporaryDirectory(prefix="notebook-") as folder:
        work = Path(folder) / "work"
        work.mkdir()
        kernel = AsyncKernelManager(
            kernel_name=KERNELSPEC["name"],
            kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),
            transport="ipc",
            connection_file=str(Path(folder) / "kernel.json"),
        )
        client = NotebookClient(notebook, timeout=CELL_LIMIT_S, record_timing=False, km=kernel)
        # one torch thread per process: those that wait for each other on busy cores cost minutes
        environment = {"OMP_NUM_THREADS": "1", **os.environ, "RSMTL_DATA": str(data_folder())}
        environment["IPYTHONDIR"] = str(Path(folder) / "ipython")
        environment.pop("MPLBACKEND", None)
        client.execute(cwd=str(work), env=environment, cleanup_kc=True)


def main(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the rendered notebooks.")],
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAMES]", help="Such as 1_quick_start; all unless given.")
    ] = None,
) -> None:
    """Execute notebooks and write them with their outputs; without real imagery, those that need it have none."""
    known = {source.stem: source for source in sources()}
    if unknown := sorted(set(names or ()) - set(known)):
        raise typer.BadParameter(f"there is no notebook {', '.join(unknown)}: choose from {', '.join(known)}")
    for name in names or known:
        execute = data_folder().is_dir() or not needs_data(known[name])
        started = time.perf_counter()
        try:
            written = render(known[name], out, execute)
        except (CellControlSignal, DeadKernelError) as error:
            print(f"{name} failed\n{error}", file=sys.stderr)
            raise typer.Exit(1) from None
        took = f"{time.perf_counter() - started:.0f} s" if execute else f"not executed: no {data_folder()}"
        print(f"{written}  {took}")


if __name__ == "__main__":
    typer.run(main)
