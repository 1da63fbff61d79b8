"""`rsmtl predict`: scenes in, products out."""

from pathlib import Path
from typing import Annotated

import typer

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
from rsmtl.cli.report import Report
from rsmtl.config import Settings
from rsmtl.errors import InputError


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

    A scene that fails, fails alone.

    Exit status: 0 all is well, 1 a run failed, 2 input or options are wrong.
    """
    from rsmtl.cli.run import ProductRun
    from rsmtl.cli.scenes import for_each_scene
    from rsmtl.engine.classical import model_finder

    if resume and overwrite:
        raise InputError("--resume keeps what is finished and --overwrite removes it: give one of them")
    report = Report("predict", as_json)
    run = ProductRun(model_finder(model), out.absolute(), settings, report, resume, overwrite)
    results = for_each_scene(sources, assets, workers, scheduler, settings.torch_threads, report, run)
    run.show(results)
    return report.close(scenes=results, out=str(run.out))
