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

    Several paths for one input, with commas between or one after the other, are its bands, a file for each.
    """
    named: dict[str, list[str]] = {}
    alone: list[Source] = []
    for argument in arguments:
        match = _NAMED.fullmatch(argument)
        if match is None or Path(argument).exists():  # a path may hold a `=`
            alone.append(argument)
            continue
        name, path = match.groups()
        whole = Path(path).exists() or "://" in path or path.startswith("/vsi")  # which may hold commas
        named.setdefault(name, []).extend([path] if whole else path.split(","))
    scene = {name: paths[0] if len(paths) == 1 else paths for name, paths in named.items()}
    return [*alone, *([scene] if scene else [])]


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
    words: dict[str, Offset] = {"item": "item", "none": "none"}
    if value in words:
        return words[value]
    try:
        if isfinite(number := float(value)):
            return number
    except ValueError:
        pass
    raise InputError(f"--offset {value!r} is none: give item, none, or a number such as -0.1")
