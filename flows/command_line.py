"""What the commands of flows have in common: how a flow's end becomes an exit status."""

from collections.abc import Callable
from typing import Any

from prefect.client.schemas.objects import State

from rsmtl.cli.program import run_program, say


def run_command(command: Callable[..., int], arguments: list[str] | None = None) -> int:
    """Run a flow's command; what is interrupted can be taken up."""
    return run_program(command, arguments, interrupted="interrupted; give the same command again to go on")


def outcome(state: State[Any]) -> int:
    """Return the exit status for how a flow ended; if it failed, say why."""
    return 0 if state.is_completed() else say(state.result(raise_on_failure=False))
