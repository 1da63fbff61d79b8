"""From the words of a command line to what `open_scene` takes."""

import re
from collections.abc import Sequence
from math import isfinite
from pathlib import Path

from rsmtl.errors import InputError
from rsmtl.scene.open import Assets, Source
from rsmtl.scene.profiles import Offset

_NAMED = re.compile(r"([A-Za-z_]\w*)=(.+)", re.DOTALL)


def read_sources(arguments: Sequence[str]) -> list[Source]:
    """Return the sources that arguments name: those of the form `input=path` together make one.

    Raises
    ------
    InputError
        If two files are given for one input.
    """
    named: dict[str, str] = {}
    alone: list[Source] = []
    for argument in arguments:
        match = _NAMED.fullmatch(argument)
        if match is None or Path(argument).exists():  # a path may hold a `=`
            alone.append(argument)
            continue
        name, path = match.groups()
        if name in named:
            raise InputError(
                f"two files are given for input {name!r}, {named[name]} and {path}: one call takes one scene of "
                "several inputs, call once for each"
            )
        named[name] = path
    return [*alone, *([named] if named else [])]


def read_assets(values: Sequence[str]) -> Assets | None:
    """Return what `--assets` asks for: a list for the one input, or one for each input that is named.

    Raises
    ------
    InputError
        If several lists do not each name another input, or one is empty.
    """
    chosen: dict[str, list[str]] = {}
    for value in values:
        match = _NAMED.fullmatch(value)
        name, listed = match.groups() if match else ("", value)
        names = [part.strip() for part in listed.split(",")]
        if not all(names):
            raise InputError(
                f"--assets {value!r} has an empty name: give names with commas between, as in red,green"
            )
        if name in chosen or (chosen and "" in (name, *chosen)):
            raise InputError(
                "several --assets must each name another input, as in --assets pan=pan --assets ms=red,green,blue; "
                "for one input give one list, as in --assets red,green,blue"
            )
        chosen[name] = names
    return chosen.get("") or chosen or None


def read_offset(value: str) -> Offset:
    """Return what `--offset` asks for.

    Raises
    ------
    InputError
        If it is neither a number nor one of the words.
    """
    if value == "item" or value == "none":  # which the types follow
        return value
    try:
        if isfinite(number := float(value)):
            return number
    except ValueError:
        pass
    raise InputError(f"--offset {value!r} is none: give item, none, or a number such as -0.1")
