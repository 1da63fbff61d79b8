"""`rsmtl plan`: what a run would do and cost, before anything runs."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table

from rsmtl.cli.options import (
    AssetsOption,
    JsonOption,
    ModelOption,
    SchedulerOption,
    SourcesArgument,
    WorkersOption,
    with_settings,
)
from rsmtl.cli.report import Report, plain_table
from rsmtl.config import Settings
from rsmtl.errors import PlanError, RsmtlError

if TYPE_CHECKING:
    from rsmtl.predict.cost import Cost
    from rsmtl.predict.executor import Executor
    from rsmtl.scene.scene import Scene


@with_settings
def plan(
    sources: SourcesArgument,
    model: ModelOption,
    settings: Settings,
    assets: AssetsOption = [],  # noqa: B006  # typer copies it
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    as_json: JsonOption = False,
) -> int:
    """Print what `predict` would do and cost, and refuse what does not fit its workers; nothing is run.

    Counts are upper bounds: windows without a valid pixel are not run, but which those are is found in the
    pixels.
    """
    from rsmtl.cli.sources import find_scenes, for_each, read_assets, read_sources
    from rsmtl.cli.workers import workers_of
    from rsmtl.models import load_model
    from rsmtl.predict.cost import check_fits, cost
    from rsmtl.predict.plan import plan as lay

    report, taken = Report("plan", as_json), read_assets(assets)
    ready = load_model(model)
    refs = find_scenes(read_sources(sources), report)
    results: list[dict[str, Any]] = []

    def project(scene: "Scene") -> dict[str, Any]:
        projected = cost(lay(scene, ready, settings))
        fits = True
        try:
            check_fits(projected, executor)
        except PlanError as error:
            report.fail(scene.id, error)
            fits = False
        report.show(_facts(scene.id, projected, settings, executor, fits))
        return {
            "result": "fits" if fits else "does not fit",
            **asdict(projected),
            "slot_bytes": executor.slot_bytes,
        }

    try:
        if refs:
            with workers_of(workers, scheduler, settings.torch_threads, report) as executor:
                results += for_each(refs, taken, report, project)
    except RsmtlError as error:
        report.fail("", error)
    if len(results) > 1:
        report.show(_total(results))
    return report.close(scenes=results)


def _facts(scene: str, projected: "Cost", settings: Settings, executor: "Executor", fits: bool) -> Table:
    from rsmtl.cli.units import pixels, size

    height, width = projected.height_px, projected.width_px
    table = plain_table("", "", title=scene)
    table.show_header = False
    for what, figure in (
        ("size", f"{height:,} × {width:,} px, {pixels(height * width)}"),
        ("windows", f"{projected.n_windows:,} of {settings.window} px with {settings.overlap} px overlap"),
        ("work", f"{projected.windows_per_px:.2f} windows per pixel"),
        ("chunks", f"{projected.n_chunks:,} of {projected.chunk_px:,} px"),
        ("read", size(projected.read_bytes)),
        ("written", f"{size(projected.written_bytes)} before compression"),
        ("borders", f"{size(projected.border_bytes)} between chunks"),
        ("memory", f"{size(projected.worker_bytes)} a worker, {size(executor.slot_bytes)} there"),
        ("verdict", "[green]fits[/green]" if fits else "[red]does not fit[/red]"),
    ):
        table.add_row(what, figure)
    return table


def _total(results: list[dict[str, Any]]) -> str:
    from rsmtl.cli.units import size

    planned = [found for found in results if "n_windows" in found]
    windows = sum(found["n_windows"] for found in planned)
    read, written = (size(sum(found[key] for found in planned)) for key in ("read_bytes", "written_bytes"))
    return f"{len(planned):,} scenes: {windows:,} windows, {read} read, {written} written"
