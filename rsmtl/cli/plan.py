"""`rsmtl plan`: what a run would do and cost, before anything runs."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from rsmtl.cli.options import (
    AssetsOption,
    JsonOption,
    ModelOption,
    SchedulerOption,
    SourcesArgument,
    WorkersOption,
    with_settings,
)
from rsmtl.cli.report import Report, plain_table, printable
from rsmtl.config import Settings
from rsmtl.errors import PlanError

if TYPE_CHECKING:
    from rsmtl.engine.cost import Cost
    from rsmtl.engine.executor import Executor
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

    Figures are upper bounds: windows without a valid pixel are not run.
    """
    from rsmtl.cli.scenes import for_each_scene
    from rsmtl.engine.classical import model_finder
    from rsmtl.engine.cost import check_fits, cost
    from rsmtl.engine.network import check_device
    from rsmtl.engine.plan import plan as lay

    report, find = Report("plan", as_json), model_finder(model)

    def project(scene: "Scene", executor: "Executor") -> dict[str, Any]:
        projected, fits = cost(lay(scene, find(scene, settings, executor), settings)), True
        try:
            check_fits(projected, executor)
            executor.submit(check_device, settings.device).result()
        except PlanError as error:
            report.fail(scene.id, error)
            fits = False
        report.show(_facts(scene.id, projected, settings, executor, fits))
        report.show("")
        return {
            "result": "fits" if fits else "refused",
            **asdict(projected),
            "slot_bytes": executor.slot_bytes,
        }

    results = for_each_scene(sources, assets, workers, scheduler, settings.torch_threads, report, project)
    if len(results) > 1:
        report.show(_total(results))
    return report.close(scenes=results)


def _facts(scene: str, projected: "Cost", settings: Settings, executor: "Executor", fits: bool) -> Table:
    from rsmtl.cli.units import pixels, size

    height, width = projected.height_px, projected.width_px
    table = plain_table("", "", title=printable(scene))
    table.show_header = False
    for what, figure in (
        ("size", f"{height:,} × {width:,} px, {pixels(height * width)}"),
        ("windows", f"{projected.n_windows:,} of {settings.window} px with {settings.overlap} px overlap"),
        ("work", f"{projected.windows_per_px:.2f} windows per pixel"),
        ("chunks", f"{projected.n_chunks:,} of {projected.chunk_px:,} px"),
        ("read", size(projected.read_bytes)),
        ("written", f"{size(projected.written_bytes)} before compression"),
        ("borders", f"{size(projected.border_bytes)} between chunks"),
        ("memory", f"{size(projected.worker_bytes)} of the {size(executor.slot_bytes)} a worker has"),
        ("verdict", Text("fits", style="green") if fits else Text("refused", style="red")),
    ):
        table.add_row(what, figure)
    return table


def _total(results: list[dict[str, Any]]) -> str:
    from rsmtl.cli.units import size

    planned = [found for found in results if "n_windows" in found]
    windows = sum(found["n_windows"] for found in planned)
    read, written = (size(sum(found[key] for found in planned)) for key in ("read_bytes", "written_bytes"))
    return f"{len(planned):,} scenes: {windows:,} windows, {read} read, {written} written"
