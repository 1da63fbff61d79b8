"""`rsmtl prepare`: a data set as it is distributed in, a sharded Zarr store out."""

import os
from pathlib import Path
from typing import Annotated

import typer

from rsmtl.cli.completion import data_set_names
from rsmtl.cli.options import JsonOption, SchedulerOption, WorkersOption
from rsmtl.cli.report import Report, plain_table
from rsmtl.errors import InputError, explain


def prepare(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME|CONFIG",
            help="A data set that rsmtl knows (coffee, dstl, dubai, kampala, landscape, pan_ms, thetford, vaihingen), "
            "or a training configuration whose data set is meant, options and all.",
            autocompletion=data_set_names,
            show_default=False,
        ),
    ],
    source: Annotated[
        Path,
        typer.Argument(metavar="SRC", help="Folder that holds it as it is distributed.", show_default=False),
    ],
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="Folder of data sets; receives NAME.zarr.", show_default=False),
    ],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", metavar="", help="Replace what was prepared before.")
    ] = False,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    as_json: JsonOption = False,
) -> int:
    """Write a data set as sharded Zarr, from which training reads patches window by window.

    Scenes that are missing or broken are left out and named; the exit status is then 1.
    """
    from rich.progress import Progress

    from rsmtl.cli.workers import workers_of
    from rsmtl.prepare import prepare as run

    report = Report("prepare", as_json)
    data = _data(name)
    with (
        workers_of(workers, scheduler, 1, report) as executor,
        Progress(console=report.notes, disable=not report.notes.is_terminal, transient=True) as bar,
    ):
        task = bar.add_task(data.name, total=None)
        made = run(
            data,
            source,
            out / f"{data.name}.zarr",
            executor,
            overwrite=overwrite,
            report=lambda done, total: bar.update(task, completed=done, total=total),
        )
    table = plain_table("split", figures=("scenes",))
    counts = {
        split: sum(split in one.areas for one in made.scenes) for split in ("train", "validation", "test")
    }
    for split, count in counts.items():
        table.add_row(split, str(count))
    report.show(table)
    for scene, sentence in made.missing.items():
        report.fail(scene, _Missing(sentence))
    report.show(f"{len(made.scenes)} scenes: {made.store}")
    return report.close(store=str(made.store), scenes=counts, missing=made.missing)


class _Missing(InputError):
    """A scene that was left out; the rest was prepared."""

    exit_status = 1


def _data(name: str):  # type: ignore[no-untyped-def]  # a member of the union of all data sets
    from pydantic import TypeAdapter, ValidationError

    from rsmtl.datasets import DataConfig
    from rsmtl.training import presets, read_config

    if name in presets() or os.path.isfile(name):  # noqa: PTH113  # names may be too long for Path
        return read_config(name).data
    try:
        return TypeAdapter(DataConfig).validate_python({"name": name})
    except ValidationError as error:
        raise InputError(f"there is no data set {name!r} that needs no options: {explain(error)}") from error
