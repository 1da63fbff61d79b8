"""`rsmtl predict`: scenes in, products out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from rsmtl.cli.options import (
    RUNNING,
    AssetsOption,
    JsonOption,
    ModelOption,
    SchedulerOption,
    SourcesArgument,
    WorkersOption,
    with_settings,
)
from rsmtl.cli.report import Interrupted, Report, plain_table
from rsmtl.config import Settings
from rsmtl.errors import InputError, RsmtlError

if TYPE_CHECKING:
    from rsmtl.cli.bar import SceneBar


@with_settings
def predict(
    sources: SourcesArgument,
    model: ModelOption,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Receives a folder for each scene.", show_default=False)
    ],
    settings: Settings,
    assets: AssetsOption = [],  # noqa: B006  # typer copies it
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Finish what was interrupted.", rich_help_panel=RUNNING)
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Remove products that stand, and start anew.", rich_help_panel=RUNNING
        ),
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Run a model over scenes, and leave a product for each: Zarr, COGs, quicklook, STAC item.

    A scene that fails, fails alone. Exit status: 0 if all is well, 1 if a run failed, 2 if the input or the
    options are wrong.
    """
    from rsmtl.cli.bar import SceneBar
    from rsmtl.cli.sources import find_scenes, for_each, read_assets, read_sources
    from rsmtl.cli.workers import workers_of
    from rsmtl.dispatch import said_plainly
    from rsmtl.models import load_model
    from rsmtl.predict.product import write
    from rsmtl.scene.scene import Scene

    if resume and overwrite:
        raise InputError("--resume keeps what is finished and --overwrite removes it: give one of them")
    report, taken, folder = Report("predict", as_json), read_assets(assets), out.absolute()
    ready = load_model(model)
    refs = find_scenes(read_sources(sources), report)
    results: list[dict[str, Any]] = []

    def run(scene: Scene) -> dict[str, Any]:
        with SceneBar(scene.id, report.notes) as bar, said_plainly():
            try:
                product = write(
                    scene,
                    ready,
                    folder,
                    settings,
                    executor=executor,
                    resume=resume,
                    overwrite=overwrite,
                    on_progress=bar.update,
                )
            except KeyboardInterrupt as error:
                raise _interrupted(scene.id, bar, overwrite) from error
        return {
            "result": "stood already" if product.reused else "written",
            "folder": str(product.folder),
            "px": bar.px_done,
            "windows_run": product.windows_run,
            "n_windows": product.n_windows,
            "seconds": round(product.seconds, 3),
        }

    try:
        if refs:
            with workers_of(workers, scheduler, settings.torch_threads, report) as executor:
                results += for_each(refs, taken, report, run)
    except RsmtlError as error:
        report.fail("", error)
    if results:
        report.show(_summary(results, folder))
    return report.close(scenes=results, out=str(folder))


def _interrupted(scene: str, bar: "SceneBar", overwrite: bool) -> Interrupted:
    """Say what stands, and how to go on."""
    how = "with --resume in the place of --overwrite" if overwrite else "with --resume"
    if bar.latest is None:
        return Interrupted(
            f"interrupted before scene {scene!r} was begun; give the same command {how} to go on"
        )
    return Interrupted(
        f"interrupted: {bar.latest.chunks_done:,} of {bar.latest.n_chunks:,} chunks of scene {scene!r} stand; "
        f"give the same command {how} to finish it and the scenes after it"
    )


def _summary(results: list[dict[str, Any]], folder: Path) -> Table:
    from rsmtl.cli.units import duration, pixels, px_rate

    table = plain_table(
        "Scene", "Result", figures=("Windows run", "Pixels", "Speed", "Time"), title=f"Products in {folder}"
    )
    for found in results:
        if found["result"] == "failed":
            table.add_row(found["scene"], "[red]failed[/red]", "", "", "", "")
            continue
        seconds = found["seconds"]
        figures = (
            f"{found['windows_run']:,}",
            pixels(found["px"]),
            px_rate(found["px"], seconds),
            duration(seconds),
        )
        table.add_row(found["scene"], found["result"], *(figures if found["result"] == "written" else ()))
    return table
