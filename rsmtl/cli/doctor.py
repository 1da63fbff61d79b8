"""`rsmtl doctor`: what of an environment has to be mended before a run."""

from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table
from rich.text import Text

from rsmtl.cli.completion import model_names
from rsmtl.cli.options import AssetsOption, JsonOption, SchedulerOption, WorkersOption
from rsmtl.cli.report import Failure, Report, one_line, plain_table, printable
from rsmtl.errors import InputError, RsmtlError, RunError

if TYPE_CHECKING:
    from rsmtl.dispatch.survey import Survey
    from rsmtl.doctor import Finding, Verdict

_STYLES: "dict[Verdict, str]" = {"ok": "green", "note": "yellow", "mend": "bold red"}


def doctor(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help="What a run would read, as for `rsmtl predict`: is it seen from here and from each worker, and is it "
            "the same? Of a catalogue the first scene is opened.",
            show_default=False,
        ),
    ] = [],  # noqa: B006  # typer copies it
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|URL",
            help="Where a run would write: can it from here and from each worker, and do they see what others write?",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="A model that would run over the first SOURCE: has each worker the memory that a job needs?",
            autocompletion=model_names,
            show_default=False,
        ),
    ] = None,
    assets: AssetsOption = [],  # noqa: B006  # typer copies it
    device: Annotated[
        Literal["cpu", "cuda"],
        typer.Option(help="Where a run would compute; with cuda the GPUs are looked at."),
    ] = "cpu",
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    as_json: JsonOption = False,
) -> int:
    """Check an environment, here and on a cluster, and say what to mend before a run.

    It looks at versions, clocks, memory, threads, GPUs, disks, sources and output; nothing is left behind.

    Exit status: 0 nothing has to be mended, 1 something has, 2 input or options are wrong.
    """
    from rsmtl.cli.sources import read_assets, read_sources
    from rsmtl.cli.workers import refuse_both
    from rsmtl.doctor import Finding, Wanted, examine, sentence
    from rsmtl.engine.classical import model_finder
    from rsmtl.store.place import place

    refuse_both(workers, scheduler)
    if model and not sources:
        raise InputError("what a job of --model needs follows from a scene, but none is given: give a SOURCE")
    report, finder = Report("doctor", as_json), model_finder(model) if model else None
    written_to = None if out is None else str(place(out))  # workers have working folders of their own
    found: list[Finding] = []
    with report.notes.status("connecting") as status, ExitStack() as stack:
        try:
            survey, slot_bytes = _survey(stack, workers, scheduler, device, report)
        except RsmtlError as error:  # is found out too, and no reason not to look at the rest
            survey, slot_bytes = None, 0
            found.append(Finding("cluster", one_line(error), "mend"))
        wanted = Wanted(
            read_sources(sources), read_assets(assets), written_to, model or "", finder, device, slot_bytes
        )
        found += examine(wanted, survey, lambda what: status.update(f"looking at {what}"))
    everybody = {place for one in found for place in one.where}
    for one in found:
        if one.verdict == "mend":  # told by the table
            report.failures.append(Failure(one.what, RunError(sentence(one, everybody))))
    report.show(_table(found, everybody))
    report.show(f"\n{len(report.failures) or 'nothing'} to mend")
    return report.close(findings=[asdict(one) for one in found])


def _survey(
    stack: ExitStack, n_workers: int | None, scheduler: str | None, device: str, report: Report
) -> "tuple[Survey | None, int]":
    """Return the cluster that the options name, if any, and without one the memory of a thread of this process."""
    from rsmtl.cli.workers import workers_of
    from rsmtl.dispatch import ClusterExecutor
    from rsmtl.dispatch.survey import survey_at, survey_of

    if scheduler:
        return stack.enter_context(survey_at(scheduler)), 0
    executor = stack.enter_context(workers_of(n_workers, None, 1, report, device))
    return (survey_of(executor), 0) if isinstance(executor, ClusterExecutor) else (None, executor.slot_bytes)


def _table(found: "list[Finding]", everybody: set[str]) -> Table:
    from rsmtl.doctor import places

    table = plain_table("What", "Found", "Verdict", "What to do")
    for one in found:
        table.add_row(
            printable(one.what),
            printable(f"{places(one.where, everybody)}: {one.found}"),
            Text(one.verdict, style=_STYLES[one.verdict]),
            printable(one.todo),
        )
    return table
