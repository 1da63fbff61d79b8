"""A function as a program of its own, for flows and recipes: one sentence for what went wrong, and an exit status."""

import sys
from collections.abc import Callable

import typer

from rsmtl.cli.report import INTERRUPTED, printable
from rsmtl.errors import InputError, RsmtlError, RunError


def run_program(main: Callable[..., int], arguments: list[str] | None = None, *, interrupted: str) -> int:
    """Run a function whose parameters typer understands, and return the exit status for the shell.

    Parameters
    ----------
    arguments
        Without the program's name; those of the process unless given.
    interrupted
        What is said if Ctrl-C ends it.
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    try:
        status = int(app(args=arguments, standalone_mode=False))
    except KeyboardInterrupt:  # in the middle of ending what another exception had ended
        status = INTERRUPTED
    except typer.TyperException as error:
        return say(InputError(f"{error.format_message().rstrip('.')}; see --help"))
    except RsmtlError as error:
        return say(error)
    if status == INTERRUPTED:  # typer's own answer to Ctrl-C
        say(RunError(interrupted))
    return status


def say(error: Exception) -> int:
    """Print an error's sentence as one line on standard error, and return its exit status."""
    print(printable(" ".join(str(error).split())), file=sys.stderr)
    return error.exit_status if isinstance(error, RsmtlError) else 1
