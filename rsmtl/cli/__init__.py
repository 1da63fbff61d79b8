"""The command line: `rsmtl predict | plan | demo | verify | evaluate | report | prepare | train | models | doctor`.

Modules here import little at their top, and what is heavy (torch, Dask, rasterio) where a command needs it: help
must not wait for it.
"""

import functools
import os
import sys
from collections.abc import Callable, Mapping
from io import TextIOWrapper
from typing import Annotated, Any

import typer

from rsmtl import __version__
from rsmtl.cli import page
from rsmtl.cli.demo import demo
from rsmtl.cli.doctor import doctor
from rsmtl.cli.evaluate import evaluate
from rsmtl.cli.interrupt import end_in_bounded_time
from rsmtl.cli.margin import margin
from rsmtl.cli.models import models
from rsmtl.cli.plan import plan
from rsmtl.cli.predict import predict
from rsmtl.cli.prepare import prepare
from rsmtl.cli.quiet import quiet
from rsmtl.cli.report import INTERRUPTED, Interrupted, Report
from rsmtl.cli.train import train
from rsmtl.cli.verify import verify
from rsmtl.errors import InputError, RsmtlError

RUN, LOOK, TRAIN, ENVIRONMENT = "Run a model", "Look at products", "Train a model", "What is there"

GROUPS: dict[str, dict[Callable[..., int], str]] = {
    RUN: {
        predict: "rsmtl predict scene.tif --model urec-landscape --out products --workers 4",
        plan: "rsmtl plan scene.tif --model urec-landscape --workers 4",
        demo: "rsmtl demo --workers 2",
    },
    LOOK: {
        verify: "rsmtl verify products",
        evaluate: "rsmtl evaluate products --truth labels/",
        page.report: "rsmtl report products",
    },
    TRAIN: {
        prepare: "rsmtl prepare dubai RAW DATA --workers 4",
        train: "rsmtl train urec-dubai --data DATA --out runs/dubai --workers 4",
    },
    ENVIRONMENT: {
        models: "rsmtl models",
        doctor: "rsmtl doctor scene.tif --model urec-landscape --out products --workers 4",
    },
}
"""The commands as help shows them, each with an example."""

COMMANDS: tuple[Callable[..., int], ...] = tuple(command for group in GROUPS.values() for command in group)

app = typer.Typer(
    name="rsmtl",
    help="Run multi-task PyTorch models over satellite scenes larger than memory, without a seam.\n\n"
    "A model gives classes, a reconstruction, sharpened or super-resolved images; a product has all of them, as Zarr "
    "and COG, with a STAC item.",
    epilog="First steps:\n\n"
    "rsmtl demo                                   products of generated scenes\n\n"
    "rsmtl models                                 what --model may be\n\n"
    "rsmtl plan scene.tif --model urec-landscape  what a run would do and cost\n\n"
    "rsmtl predict scene.tif --model urec-landscape --out products",
    pretty_exceptions_enable=False,
)


def _interruptible(command: Callable[..., int]) -> Callable[..., int]:
    """Give Ctrl-C a sentence in commands that have none of their own."""

    @functools.wraps(command)
    def run(**given: Any) -> int:  # typer passes every parameter of the signature by name
        _prepare_workers(given)
        try:
            return command(**given)
        except KeyboardInterrupt:
            raise Interrupted("interrupted") from None

    return run


def _prepare_workers(given: Mapping[str, Any]) -> None:
    """Have the server that forks workers import what they need while this process does the same."""
    if given.get("workers") and not given.get("scheduler") and given.get("device") != "cuda":
        from rsmtl import fork_server

        if fork_server.chosen():
            fork_server.start()


def _with_margin() -> typer.Typer:
    """Make a group of `models`, which lists them when it is called alone."""
    example = f"For example: {GROUPS[ENVIRONMENT][models]}"
    group = typer.Typer(name="models", invoke_without_command=True)
    group.callback(epilog=example)(_interruptible(models))
    example = "rsmtl models margin model.safetensors scene.tif --save measured.safetensors"
    group.command(epilog=f"For example: {example}")(_interruptible(margin))
    return group


for panel, group in GROUPS.items():
    for command, example in group.items():
        if command is models:
            app.add_typer(_with_margin(), rich_help_panel=panel)
        else:
            app.command(rich_help_panel=panel, epilog=f"For example: {example}")(_interruptible(command))


def _print_version(asked: bool) -> None:
    if asked:
        print(f"rsmtl {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", metavar="", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    pass


def main(arguments: list[str] | None = None) -> int:
    """Run the command line, and return its exit status; never raises what a user can cause.

    Parameters
    ----------
    arguments
        Without the program's name; those of the process unless given.
    """
    words = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name may be no text
    if arguments is None:
        end_in_bounded_time()
    with quiet():
        status = _run(words)
    if arguments is None and (status == INTERRUPTED or "TORCHELASTIC_RUN_ID" in os.environ):
        # do not wait for threads that compute what --resume will compute again; and a rank of a training that has
        # ended well must not be called a failed one because a thread of gloo is late and aborts the process
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def _run(words: list[str]) -> int:
    try:
        status = app(args=words or ["--help"], prog_name="rsmtl", standalone_mode=False)
    except typer.TyperException as error:
        failure: RsmtlError = InputError(f"{error.format_message().rstrip('.')}; see {_help_for(words)}")
    except RsmtlError as error:
        failure = error
    else:
        return int(status)
    report = Report(_command(words), "--json" in words)
    report.fail("", failure)
    return report.close()


def _command(words: list[str]) -> str:
    return words[0] if words and words[0] in {command.__name__ for command in COMMANDS} else ""


def _help_for(words: list[str]) -> str:
    return " ".join(part for part in ("rsmtl", _command(words), "--help") if part)
