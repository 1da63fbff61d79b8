"""`rsmtl predict`: scenes in, products out."""

import logging
from typing import Annotated

import typer

from rsmtl.cli.options import (
    RUNNING,
    AllowNoCrsOption,
    AnyGsdOption,
    AssetsOption,
    JsonOption,
    LogOption,
    ModelOption,
    OffsetOption,
    SchedulerOption,
    SourcesArgument,
    WorkersOption,
    with_search,
    with_settings,
)
from rsmtl.cli.report import Report
from rsmtl.config import Settings
from rsmtl.errors import InputError
from rsmtl.logs import log_to, tell
from rsmtl.scene.search import Search

_LOG = logging.getLogger(__name__)


@with_search
@with_settings
def predict(
    sources: SourcesArgument,
    model: ModelOption,
    out: Annotated[
        str,
        typer.Option(
            metavar="DIR|URL",
            help="Receives a folder for each scene: a path, or a URL such as s3://bucket/prefix.",
            show_default=False,
        ),
    ],
    settings: Settings,
    search: Search,
    assets: AssetsOption = [],  # noqa: B006  # typer copies it
    offset: OffsetOption = "item",
    any_gsd: AnyGsdOption = False,
    allow_no_crs: AllowNoCrsOption = False,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", metavar="", help="Finish what was interrupted.", rich_help_panel=RUNNING),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            metavar="",
            help="Remove products that stand, and start anew.",
            rich_help_panel=RUNNING,
        ),
    ] = False,
    job_limit: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0,
            help="A job on a chunk that runs for longer hangs, and is given up with its worker.",
            rich_help_panel=RUNNING,
        ),
    ] = 3600.0,
    log: LogOption = None,
    as_json: JsonOption = False,
) -> int:
    """Run a model over scenes, and leave a product for each: Zarr, COGs, quicklook, STAC item.

    Window, overlap, chunk and batch are chosen unless given: `rsmtl plan` says which, and why.

    A scene that fails, fails alone.

    Exit status: 0 all is well, 1 a run failed, 2 input or options are wrong.
    """
    from rsmtl.cli.run import ProductRun
    from rsmtl.cli.scenes import with_scenes
    from rsmtl.cli.sources import read_assets, read_offset
    from rsmtl.engine.classical import model_finder
    from rsmtl.request import Request
    from rsmtl.store.place import place

    if resume and overwrite:
        raise InputError("--resume keeps what is finished and --overwrite removes it: give one of them")
    report = Report("predict", as_json)
    with log_to(log):
        tell(_LOG, "run begun", model=model, out=out, resume=resume, overwrite=overwrite)
        request = Request(
            model_finder(model),
            place(out),
            settings,
            read_assets(assets),
            resume,
            overwrite,
            any_gsd,
            job_limit,
            allow_no_crs,
            read_offset(offset),
        )
        run = ProductRun(request, report)
        results = with_scenes(sources, search, workers, scheduler, settings, report, run)
        run.show(results)
        return report.close(scenes=results, out=str(request.out))
