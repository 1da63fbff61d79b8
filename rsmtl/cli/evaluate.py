"""`rsmtl evaluate`: what products are worth, against truth or without."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from rsmtl.cli.options import JsonOption, SchedulerOption, WorkersOption
from rsmtl.cli.products import products_in
from rsmtl.cli.report import Report, plain_table
from rsmtl.errors import InputError, RsmtlError

if TYPE_CHECKING:
    from rsmtl.engine.evaluate import Evaluation
    from rsmtl.store.place import Place


def evaluate(
    out: Annotated[
        str,
        typer.Argument(
            metavar="OUT",
            help="A product's folder, or one that holds products: a path or a URL.",
            show_default=False,
        ),
    ],
    truth: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|DIR",
            help="What a head should be, on its own grid: class numbers or the classes' colours (in three bands or a "
            "colour table), or images. For several products a folder with a file SCENE.tif for each. Without it a "
            "pansharpened head is measured by QNR and HQNR.",
            show_default=False,
        ),
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The head that the truth is for, if several fit.", show_default=False
        ),
    ] = None,
    without: Annotated[
        list[str],
        typer.Option(metavar="CLASS", help="Classes that a second mean IoU leaves out.", show_default=False),
    ] = [],  # noqa: B006  # typer copies it
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    as_json: JsonOption = False,
) -> int:
    """Measure products, chunk by chunk on the workers, exactly as if each were measured in one piece.

    Leaves `metrics.json` in each product's folder.
    """
    from rsmtl.cli.workers import workers_of
    from rsmtl.engine.evaluate import evaluate as measure
    from rsmtl.store.measured import plain, write_metrics

    if truth is None and (head is not None or without):
        option = "--head" if head is not None else "--without"
        raise InputError(
            f"{option} says how to compare with truth, but none is given: give --truth too, or leave it out"
        )
    report = Report("evaluate", as_json)
    folders = products_in(out)
    results: list[dict[str, Any]] = []
    with workers_of(workers, scheduler, 1, report) as executor:
        for folder in folders:
            try:
                source = _truth_of(folder, truth, alone=len(folders) == 1)
                given = source if head is None or source is None else {head: source}
                found = measure(folder, given, without=tuple(without), executor=executor)
                heads = plain(found.results)
                write_metrics(folder, heads)
                report.show(_table(found))
                for note in found.notes:
                    report.note(folder.name, note)
                results.append({"folder": str(folder), "heads": heads, "notes": list(found.notes)})
            except RsmtlError as error:
                report.fail(folder.name, error)
    return report.close(products=results)


def _truth_of(folder: "Place", truth: Path | None, alone: bool) -> str | None:
    """Return the file that says what a product should be."""
    if truth is None:
        return None
    if not truth.exists():
        raise InputError(f"there is no truth at {truth}: give a file, or a folder with a file for each scene")
    if truth.is_dir() and not (truth / "zarr.json").exists():
        file = truth / f"{folder.name}.tif"
        if not file.is_file():
            raise InputError(f"there is no truth {file.name} in {truth}: name the files after the scenes")
        return str(file)
    if not alone:
        raise InputError(
            f"{truth} is the truth of one scene, but there are several products: give the folder of one product, or a "
            "folder with a truth for each"
        )
    return str(truth)


def _table(found: "Evaluation") -> Table:
    """A line for each score; of those by class, a line for each class."""
    table = plain_table("", "", figures=("",), title=found.folder.name)
    table.show_header = False
    for head, scores in found.results.items():
        for name, value in scores.items():
            if isinstance(value, dict):
                for part, score in value.items():
                    table.add_row(head, f"{name} {part}", _figure(score))
            elif not isinstance(value, list):
                table.add_row(head, name, _figure(value))
    return table


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
