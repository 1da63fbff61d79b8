"""`rsmtl train`: a configuration and data in, a checkpoint out."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from rsmtl.cli.completion import preset_names
from rsmtl.cli.options import RUNNING, JsonOption, SchedulerOption
from rsmtl.cli.report import Interrupted, Report


def train(
    config: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG",
            help="A configuration that comes with rsmtl, or the path of one.",
            autocompletion=preset_names,
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Receives log and checkpoints.", show_default=False)
    ],
    data: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="Holds the data sets: prepared ones as NAME.zarr, others in a folder NAME.",
            envvar="RSMTL_DATA",
        ),
    ] = Path("data"),
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Start so many worker processes on this machine, a rank on each. Unless this or --scheduler is given, "
            "this process trains alone, or as the rank that torchrun made it.",
            rich_help_panel=RUNNING,
            show_default=False,
        ),
    ] = None,
    scheduler: SchedulerOption = None,
    min_workers: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="The training goes on with so few workers.", rich_help_panel=RUNNING
        ),
    ] = 1,
    max_workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Take in workers that join later, up to so many; as many as there are at the beginning unless given.",
            rich_help_panel=RUNNING,
            show_default=False,
        ),
    ] = None,
    max_restarts: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="How often ranks may fail.", rich_help_panel=RUNNING),
    ] = 3,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            metavar="",
            help="Go on with the training in DIR, if there is one.",
            rich_help_panel=RUNNING,
        ),
    ] = False,
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        typer.Option(help="auto takes CUDA where there is some.", rich_help_panel=RUNNING),
    ] = "auto",
    timeout: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=1,
            max=1e7,
            help="How long ranks wait for each other.",
            rich_help_panel=RUNNING,
        ),
    ] = 300.0,
    checkpoint: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0,
            max=1e7,
            help="Between states written within an epoch.",
            rich_help_panel=RUNNING,
        ),
    ] = 300.0,
    as_json: JsonOption = False,
) -> int:
    """Train a model on labelled data, epoch by epoch, and keep the best.

    On several workers the training goes on when some of them die; DIR must be on storage that all of them share.
    """
    from rsmtl.cli.training_bar import TrainingBar
    from rsmtl.cli.workers import workers_of
    from rsmtl.dispatch import ClusterExecutor, Launch, launch
    from rsmtl.models import read_card
    from rsmtl.training import train as run
    from rsmtl.training.agent import tell_agent

    report = Report("train", as_json)
    with TrainingBar(report) as bar:
        try:
            if workers or scheduler:
                options = Launch(min_workers, max_workers, max_restarts, timeout, checkpoint, device)
                with workers_of(workers, scheduler, 1, report) as cluster:
                    assert isinstance(cluster, ClusterExecutor)
                    path = launch(config, out, data, cluster, options, resume=resume, report=bar.update)
            else:
                path = run(
                    config,
                    out,
                    data,
                    resume=resume,
                    device=device,
                    timeout_s=timeout,
                    checkpoint_s=checkpoint,
                    report=bar.update,
                )
        except KeyboardInterrupt as stop:
            raise Interrupted(str(stop) or "interrupted; go on with --resume") from None
        except Exception as error:
            tell_agent(error)
            raise
    if int(os.environ.get("RANK", "0")):  # rank 0 speaks for all
        return 0
    scores: dict[str, Any] = {split: read_card(path).training.get(split) for split in ("validation", "test")}
    return report.close(checkpoint=str(path), **scores)
