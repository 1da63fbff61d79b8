"""`rsmtl verify`: compare what stands in a product with what its model gives."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from rsmtl.cli.options import JsonOption
from rsmtl.cli.products import products_in
from rsmtl.cli.report import Report, plain_table
from rsmtl.errors import RsmtlError, RunError

if TYPE_CHECKING:
    from rsmtl.engine.verify import Verification


def verify(
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="A product's folder, or one that holds products.", show_default=False
        ),
    ],
    chunks: Annotated[
        int, typer.Option(metavar="N", min=1, help="Chunks to compute again, of each product.")
    ] = 4,
    seed: Annotated[int, typer.Option(metavar="N", help="Decides which chunks.")] = 0,
    as_json: JsonOption = False,
) -> int:
    """Check a product's files, and compute some of its chunks again, in this process, to compare them bit by bit.

    Exit status 1 if a file or a chunk differs.
    """
    from rsmtl.engine.verify import verify as check

    report = Report("verify", as_json)
    results: list[dict[str, Any]] = []
    for folder in products_in(out.absolute()):
        try:
            with report.notes.status(f"computing {chunks} chunks of {folder.name} again"):
                found = check(folder, chunks, seed)
            results.append(
                {
                    "folder": str(folder),
                    "n_chunks": found.n_chunks,
                    "checked": found.checked,
                    "differing": found.differing,
                    "damaged": found.damaged,
                    "changed_inputs": found.changed_inputs,
                }
            )
            if found.differing or found.damaged:
                raise RunError(_difference(found))
        except RsmtlError as error:
            report.fail(folder.name, error)
    if results:
        report.show(_table(results))
    return report.close(products=results)


def _difference(found: "Verification") -> str:
    if not found.differing:
        return (
            f"{', '.join(found.damaged)} changed after the product was made (checksums differ), or went missing, while "
            "the store is as the model gives it: make the product anew with --overwrite"
        )
    (row, col), output = found.differing[0]
    more = f", and {len(found.differing) - 1} more differences" if len(found.differing) > 1 else ""
    why = "the product was changed after it was made, or made by another version of torch"
    if found.changed_inputs:
        why = f"the input {found.changed_inputs[0]} was changed after the product was made"
    return (
        f"what is stored of {output!r} in chunk ({row}, {col}) is not what the model gives{more}: {why}; "
        "make it anew with --overwrite"
    )


def _table(results: list[dict[str, Any]]) -> Table:
    table = plain_table("Product", "Result", figures=("Chunks", "Computed again", "Differing"))
    for found in results:
        n_differing = len({chunk for chunk, _ in found["differing"]})
        table.add_row(
            Path(found["folder"]).name,
            Text("differs", style="red")
            if n_differing or found["damaged"]
            else Text("equal bit by bit", style="green"),
            f"{found['n_chunks']:,}",
            f"{len(found['checked']):,}",
            f"{n_differing:,}",
        )
    return table
