"""One scene after the other, each failing alone: what `predict` and `plan` have in common."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rsmtl.cli.report import Report
from rsmtl.cli.sources import read_sources
from rsmtl.cli.workers import workers_of
from rsmtl.config import Settings
from rsmtl.engine.executor import Executor
from rsmtl.errors import RsmtlError
from rsmtl.redaction import redacted
from rsmtl.scene.open import SceneRef, Source, scene_refs
from rsmtl.scene.search import Search

Result = dict[str, Any]
"""What is known of a scene afterwards, for JSON; `result` says in words what became of it."""

FAILED = "failed"


def with_scenes(
    sources: Sequence[str],
    search: Search,
    n_workers: int | None,
    scheduler: str | None,
    settings: Settings,
    report: Report,
    act: Callable[[Sequence[SceneRef], Executor], Iterable[Result]],
) -> list[Result]:
    """Do something with all scenes that the command line names, unopened, and the workers that it names.

    Ctrl-C ends it, and what was done until then is returned.

    Raises
    ------
    InputError
        If the words of the command line make no sense together.
    """
    refs = _found(read_sources(sources), search, report)
    results: list[Result] = []
    try:
        if refs:
            taking_part = workers_of(n_workers, scheduler, settings.torch_threads, report, settings.device)
            with taking_part as executor:
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
            report.fail(redacted(str(source)), error)
    return found
