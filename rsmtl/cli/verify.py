"""`rsmtl verify`: compare what stands in a product with what its model gives."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from rsmtl.cli.options import JsonOption
from rsmtl.cli.products import products_in
from rsmtl.cli.report import Report, plain_table, printable
from rsmtl.errors import RsmtlError, RunError

if TYPE_CHECKING:
    from rsmtl.engine.verify import Verification


def verify(
    out: Annotated[
        str,
        typer.Argument(
            metavar="OUT",
            help="A product's folder, or one that holds products: a path or a URL.",
            show_default=False,
        ),
    ],
    chunks: Annotated[
        int, typer.Option(metavar="N", min=1, help="Chunks to compute again, of each product.")
    ] = 4,
    seed: Annotated[int, typer.Option(metavar="N", help="Decides which chunks.")] = 0,
    as_json: JsonOption = False,
) -> int:
    """Check every shard and file of products, compute some chunks again to compare, and say whether a grid shows.

    Chunks are computed in this process, and compared bit by bit. A grid is bands or steps where windows meet: it is
    told by output, and is no failure.

    A product of which something is damaged loses its item, so that it does not pass for a whole one; `rsmtl predict`
    with --resume, or the next run of the flow, mends it.

    Exit status 1 if anything differs.
    """
    from rsmtl.engine.verify import verify as check
    from rsmtl.engine.verify import withdraw

    report = Report("verify", as_json)
    results: list[dict[str, Any]] = []
    for folder in products_in(out):
        try:
            with report.notes.status(f"computing {chunks} chunks of {folder.name} again"):
                found = check(folder, chunks, seed)
            results.append(
                {
                    "folder": str(folder),
                    "n_chunks": found.n_chunks,
                    "checked": found.checked,
                    "differing": found.differing,
                    "torn": found.torn,
                    "damaged": found.damaged,
                    "changed_inputs": found.changed_inputs,
                    "seams": [{**asdict(seam), "words": seam.words} for seam in found.seams],
                }
            )
            withdraw(found)
            if found.torn or found.damaged or found.differing:
                raise RunError(_difference(found))
        except RsmtlError as error:
            report.fail(folder.name, error)
    if results:
        report.show(_table(results))
        for result in results:
            for seam in result["seams"]:
                name = result["folder"].rsplit("/", 1)[-1]
                report.show(printable(f"{name}, {seam['output']}: {seam['words']}"))
    return report.close(products=results)


def _difference(found: "Verification") -> str:
    from rsmtl.store.folder import ITEM_NAME

    if found.torn or found.damaged:
        shards = [f"the shard of {output!r} in chunk ({row}, {col})" for (row, col), output in found.torn]
        what = [*shards, *found.damaged]
        more = f" and {len(what) - 1} more" if len(what) > 1 else ""
        return (
            f"{what[0]}{more} changed after the product was made (checksums differ), or went missing, so its "
            f"{ITEM_NAME} was withdrawn: mend the product with `rsmtl predict --resume`"
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
            found["folder"].rsplit("/", 1)[-1],
            Text("differs", style="red")
            if n_differing or found["torn"] or found["damaged"]
            else Text("equal bit by bit", style="green"),
            f"{found['n_chunks']:,}",
            f"{len(found['checked']):,}",
            f"{n_differing:,}",
        )
    return table
