"""`rsmtl report`: one page that shows what a folder of products holds."""

from typing import Annotated

import typer

from rsmtl.cli.options import JsonOption
from rsmtl.cli.report import Report


def report(
    out: Annotated[
        str,
        typer.Argument(
            metavar="DIR", help="Folder or URL that `rsmtl predict` wrote to.", show_default=False
        ),
    ],
    as_json: JsonOption = False,
) -> int:
    """Write DIR/report.html: scenes, map, quicklooks, who worked when, and whether there are seams.

    It is made from what stands in the folder, needs no network to be looked at, and runs no script.

    Exit status: 0 all is well, 1 the page could not be written, 2 there is no product.
    """
    from rsmtl.report import write_report
    from rsmtl.store.place import place

    told = Report("report", as_json)
    path = write_report(place(out))
    told.show(str(path))
    return told.close(report=str(path))
