"""From the words of a command line to scenes."""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rsmtl.cli.report import Report
from rsmtl.errors import InputError, RsmtlError, SceneError
from rsmtl.scene.open import Assets, SceneRef, Source, open_scene, scene_refs
from rsmtl.scene.scene import Scene

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


def find_scenes(sources: Sequence[Source], report: Report) -> list[SceneRef]:
    """Return all scenes of all sources; a source without scenes fails alone."""
    found: list[SceneRef] = []
    for source in sources:
        try:
            found += scene_refs(source)
        except RsmtlError as error:
            report.fail(str(source), error)
    return found


def for_each(
    refs: Sequence[SceneRef], assets: Assets | None, report: Report, act: Callable[[Scene], dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Open one scene after the other, do something with each, and yield what is known of it afterwards.

    A scene that fails, fails alone: its line is reported, and its result says so.
    """
    seen: dict[str, SceneRef] = {}
    for ref in refs:
        name = ref.id
        try:
            scene = open_scene(ref.source, assets)
            name = scene.id
            _refuse_namesake(seen, name, ref)
            result = {"scene": name, **act(scene)}
        except RsmtlError as error:
            report.fail(name, error)
            result = {"scene": name, "result": "failed"}
        yield result


def _refuse_namesake(seen: dict[str, SceneRef], name: str, ref: SceneRef) -> None:
    """Two scenes of one id would share a folder, and the second take the first's place."""
    if name in seen:
        raise SceneError(
            f"{ref.source} has the same id as {seen[name].source}, and with it the same folder: run it apart, with "
            "another --out"
        )
    seen[name] = ref
