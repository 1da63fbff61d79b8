"""`reference/cli.md`: every command with its arguments and options, as the command line itself has them."""

import re
from collections.abc import Iterator
from typing import Any

import typer

from rsmtl.cli import app

_REMARK = re.compile(r"\s*\[((?:required|default|env var|x[<>]|\d+<)[^\]]*)\]$")
"""What typer appends to a help text."""


def parts() -> dict[str, str]:
    """Return Markdown by the name under which the page asks for it."""
    group: Any = typer.main.get_command(app)
    return {"cli": "\n".join(_command(name, one) for name, one in group.commands.items())}


def _command(name: str, command: Any) -> str:
    context = command.context_class(command, info_name=f"rsmtl {name}")
    usage = command.get_usage(context).removeprefix("Usage: ")
    text = [
        f"(rsmtl-{name})=",
        f"## rsmtl {name}",
        "",
        _escaped(command.help),
        "",
        f"```text\n{usage}\n```",
        "",
    ]
    panels: dict[tuple[int, str], list[Any]] = {}
    for parameter in command.get_params(context):
        panels.setdefault(_panel(parameter), []).append(parameter)
    for panel in sorted(panels, key=lambda panel: panel[0]):
        text += [f"**{panel[1]}**", "", *(_parameter(one, context) for one in panels[panel])]
    return "\n".join(text)


def _panel(parameter: Any) -> tuple[int, str]:
    """Return what a parameter is shown under, arguments first, and those of a panel last."""
    if parameter.param_type_name == "argument":
        return 0, "Arguments"
    panel = getattr(parameter, "rich_help_panel", None)
    return (2, panel) if panel else (1, "Options")


def _parameter(parameter: Any, context: Any) -> str:
    spelled, text = parameter.get_help_record(context)
    spelled = spelled.partition(" <list[")[0]  # an argument's placeholder says enough
    remark = _REMARK.search(text)
    said = _escaped(text[: remark.start()] if remark else text).replace("\n", "\n  ")
    return f"`{spelled}`\n: {said}{f' *({_escaped(remark[1])})*' if remark else ''}\n"


def _escaped(text: str) -> str:
    return "`".join(_escape_plain(text.split("`")))


def _escape_plain(pieces: list[str]) -> Iterator[str]:
    """Escape what Markdown would take for marks, outside code."""
    for number, piece in enumerate(pieces):
        yield piece if number % 2 else re.sub(r"([\[\]<>*_])", r"\\\1", piece)
