"""The demo: a small catalogue, the flow over it on worker processes, and what came out against the truth.

python -m flows.demo
"""

import sys
from pathlib import Path
from typing import Annotated

import typer
from dask.system import CPU_COUNT

from flows.command_line import outcome, run_command
from flows.embedded import embedded_server
from flows.process_catalogue import CatalogueRun, process_catalogue
from rsmtl.demo import ASSETS, MODEL, describe, make_catalogue, report


def main(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the catalogue, the products and the picture.")
    ] = Path("demo-output"),
    workers: Annotated[int, typer.Option(metavar="N", help="Worker processes to start.")] = min(4, CPU_COUNT),
) -> int:
    """Generate a small catalogue, run the shipped model over it as a Prefect flow, and compare with the truth.

    What stands already is not made again.
    """
    out = out.absolute()
    catalogue = make_catalogue(out / "catalogue")
    run = CatalogueRun(
        catalogue=str(catalogue), model=MODEL, out=str(out / "products"), assets=ASSETS, workers=workers
    )
    with embedded_server(out / ".prefect"):
        status = outcome(process_catalogue(run, return_state=True))
    if status == 0:
        print(describe(report(out, catalogue, out / "products")))
        print(f"products in {run.out}")
    return status


if __name__ == "__main__":
    sys.exit(run_command(main))
