"""`prepare`: from a data set as it is distributed to a sharded Zarr store, scene by scene on whatever runs jobs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rsmtl.datasets import DataConfig, SceneSource
from rsmtl.datasets.prepared import PreparedScene, begin_store, complete_store, is_prepared, write_scene
from rsmtl.engine.executor import Executor, SerialExecutor, in_order
from rsmtl.errors import InputError, RunError


@dataclass(frozen=True)
class Prepared:
    """What a preparation has made."""

    store: Path
    scenes: tuple[PreparedScene, ...]
    missing: dict[str, str]
    """From a scene that is missing or broken to the sentence that says what is wrong."""


def prepare(
    config: DataConfig,
    source: Path,
    store: Path,
    executor: Executor | None = None,
    *,
    overwrite: bool = False,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Prepared:
    """Write a data set into a Zarr store that `train` reads window by window.

    A scene that is missing or broken is left out and reported; all others are written. The store appears when it is
    complete, and what was prepared before stands until then.

    Parameters
    ----------
    source
        Folder that holds the data set as it is distributed.
    store
        Where the store goes, `NAME.zarr` in the folder of data sets.
    overwrite
        Replace a data set that was prepared before.
    report
        Called with the number of scenes that are done, and of all.

    Raises
    ------
    InputError
        If the folder holds nothing of the data set, no scene of it can be read, or the store stands.
    RunError
        If the store cannot be written.
    """
    if is_prepared(store) and not overwrite:
        raise InputError(f"{store} was prepared before: use it, or replace it with --overwrite")
    sources = config.sources(source)
    part = begin_store(store)
    jobs = ((part, f"{number:04}", one) for number, one in enumerate(sources))
    scenes: list[PreparedScene] = []
    missing: dict[str, str] = {}
    for done, (one, found) in enumerate(
        zip(sources, in_order(executor or SerialExecutor(), _job, jobs), strict=True), 1
    ):
        if isinstance(found, PreparedScene):
            scenes.append(found)
        else:
            missing[one.name] = found
        report(done, len(sources))
    if not scenes:
        raise InputError(f"no scene of {config.name} in {source} can be read: {next(iter(missing.values()))}")
    complete_store(part, store, config.model_dump(mode="json"), config.about(), scenes)
    return Prepared(store, tuple(scenes), missing)


def _job(store: Path, group: str, source: SceneSource) -> PreparedScene | str:
    """Write a scene, or say what is wrong with it; a full disk is nobody's scene's fault."""
    try:
        return write_scene(store, group, source)
    except RunError:
        raise
    except InputError as error:
        return " ".join(str(error).split())
