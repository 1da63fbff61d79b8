"""One scene after the other, each failing alone: what `predict` and `plan` have in common."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from rsmtl.cli.report import Report
from rsmtl.cli.sources import read_assets, read_sources
from rsmtl.cli.workers import workers_of
from rsmtl.engine.executor import Executor
from rsmtl.errors import RsmtlError, SceneError
from rsmtl.scene.open import Assets, SceneRef, Source, open_scene, scene_refs
from rsmtl.scene.scene import Scene
from rsmtl.scene.search import Search

Result = dict[str, Any]
"""What is known of a scene afterwards, for JSON; `result` says in words what became of it."""

FAILED = "failed"


def for_each_scene(
    sources: Sequence[str],
    assets: Sequence[str],
    search: Search,
    n_workers: int | None,
    scheduler: str | None,
    torch_threads: int,
    report: Report,
    act: Callable[[Scene, Executor], Result],
) -> list[Result]:
    """Open every scene that the command line names, within the search, and do something with each on its workers.

    A scene that fails, fails alone: its line is reported, and its result says so. Ctrl-C ends the loop, and what
    was done until then is returned.

    Raises
    ------
    InputError
        If the words of the command line make no sense together.
    """
    taken = read_assets(assets)

    def each(refs: Sequence[SceneRef], executor: Executor) -> Iterator[Result]:
        return _each(refs, taken, report, lambda scene: act(scene, executor))

    return with_scenes(sources, search, n_workers, scheduler, torch_threads, report, each)


def with_scenes(
    sources: Sequence[str],
    search: Search,
    n_workers: int | None,
    scheduler: str | None,
    torch_threads: int,
    report: Report,
    act: Callable[[Sequence[SceneRef], Executor], Iterable[Result]],
) -> list[Result]:
    """Do something with all scenes that the command line names, unopened, and its workers; as `for_each_scene`."""
    refs = _found(read_sources(sources), search, report)
    results: list[Result] = []
    try:
        if refs:
            with workers_of(n_workers, scheduler, torch_threads, report) as executor:
                for result in act(refs, executor):
                    results.append(result)
    except RsmtlError as error:
        report.fail("", error)
    except KeyboardInterrupt:
        report.interrupt("interrupted")
    return results


def _found(sources: Sequence[Source], search: Search, report: Report) -> list[SceneRef]:
    """Return all scenes of all sources; a source without scenes fails alone."""
    found: list[SceneRef] = []
    for source in sources:
        try:
            found += scene_refs(source, search)
        except RsmtlError as error:
            report.fail(str(source), error)
    return found


def _each(
    refs: Sequence[SceneRef], assets: Assets | None, report: Report, act: Callable[[Scene], Result]
) -> Iterator[Result]:
    seen: dict[str, SceneRef] = {}
    for ref in refs:
        name = ref.id
        try:
            scene = open_scene(ref.source, assets)
            name = scene.id
            refuse_namesake(seen, name, ref)
            result = {"scene": name, **act(scene)}
        except RsmtlError as error:
            report.fail(name, error)
            result = {"scene": name, "result": FAILED}
        yield result


def refuse_namesake(seen: dict[str, SceneRef], name: str, ref: SceneRef) -> None:
    """Refuse the second scene of an id: the two would share a folder.

    Raises
    ------
    SceneError
        If the id was seen before.
    """
    if name in seen:
        raise SceneError(
            f"{ref.source} has the same id as {seen[name].source}, and with it the same folder: run it apart, with "
            "another --out"
        )
    seen[name] = ref
