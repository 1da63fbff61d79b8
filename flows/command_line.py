"""What the commands of flows have in common: one sentence for what went wrong, and an exit status."""

from collections.abc import Callable
from typing import Any

import typer
from prefect.client.schemas.objects import State
from rich.console import Console

from rsmtl.cli.report import INTERRUPTED, printable
from rsmtl.errors import InputError, RsmtlError, RunError


def run_command(command: Callable[..., int], arguments: list[str] | None = None) -> int:
    """Run a function whose parameters typer understands as a command, and return the exit status for the shell.

    Parameters
    ----------
    arguments
        Without the program's name; those of the process unless given.
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    try:
        status = int(app(args=arguments, standalone_mode=False))
    except KeyboardInterrupt:  # in the middle of ending what another exception had ended
        status = INTERRUPTED
    except typer.TyperException as error:
        return say(InputError(f"{error.format_message().rstrip('.')}; see --help"))
    except RsmtlError as error:
        return say(error)
    if status == INTERRUPTED:  # typer's own answer to Ctrl-C
        say(RunError("interrupted; give the same command again to go on"))
    return status


def outcome(state: State[Any]) -> int:
    """Return the exit status for how a flow ended; if it failed, say why."""
    return 0 if state.is_completed() else say(state.result(raise_on_failure=False))


def say(error: Exception) -> int:
    """Print an error's sentence as one line on standard error, and return its exit status."""
    Console(stderr=True, highlight=False).print(
        printable(" ".join(str(error).split())), soft_wrap=True, markup=False
    )
    return error.exit_status if isinstance(error, RsmtlError) else 1
