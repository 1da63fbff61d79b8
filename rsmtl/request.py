"""What is asked of every scene of a run, and how each gets its product: on the command line and in flows alike."""

import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from rsmtl.config import Settings
from rsmtl.dispatch import limited
from rsmtl.engine.classical import ModelFinder
from rsmtl.engine.drain import JOB_LIMIT_S, Progress
from rsmtl.engine.executor import Executor
from rsmtl.engine.product import Product, stood, write
from rsmtl.engine.standing import standing
from rsmtl.errors import RunError, SceneError
from rsmtl.scene.open import Assets, SceneRef, Source, open_scene
from rsmtl.scene.profiles import Offset
from rsmtl.scene.scene import Scene
from rsmtl.store.place import Place

OPEN_LIMIT_S = 300.0
"""What opening a scene does not take unless a file or its server hangs."""


@dataclass(frozen=True)
class Request:
    """What is asked of every scene of a run."""

    find_model: ModelFinder
    out: Place
    settings: Settings
    assets: Assets | None = None
    resume: bool = False
    overwrite: bool = False
    any_gsd: bool = False
    job_limit_s: float = JOB_LIMIT_S
    allow_no_crs: bool = False
    offset: Offset = "item"
    """What is added to scaled values; see `open_scene`."""


def standing_product(request: Request, ref: SceneRef) -> Product | None:
    """Return the product that `make_product` would leave as it is, found without opening a raster; None if unsure."""
    if request.overwrite:
        return None
    clock = time.perf_counter()
    found = standing(
        request.out,
        ref.source,
        request.assets,
        request.find_model,
        request.settings,
        request.offset,
        allow_no_crs=request.allow_no_crs,
    )
    return None if found is None else stood(*found, time.perf_counter() - clock)


def open_listed(
    request: Request, ref: SceneRef, executor: Executor, taken: MutableMapping[str, Any]
) -> Scene:
    """Open a scene on a worker, which may hang or die of it instead of this process, and take its id.

    Parameters
    ----------
    taken
        Sources of the scenes of this run by id; the scene's is added.

    Raises
    ------
    SceneError
        If it cannot be opened, or another scene of the run has the same id, and with it the same folder.
    RunError
        If opening it takes too long, or ends workers.
    """
    try:
        scene: Scene = limited(
            executor,
            f"opening {ref.id!r}",
            OPEN_LIMIT_S,
            _open,
            ref.source,
            request.assets,
            request.offset,
            request.allow_no_crs,
        )
    except MemoryError as error:
        raise RunError(
            f"opening {ref.id!r} takes more memory than there is: leave it out, or use fewer workers"
        ) from error
    take_id(taken, scene.id, ref)
    return scene


def _open(source: Source, assets: Assets | None, offset: Offset, allow_no_crs: bool) -> Scene:
    """`open_scene` as a job, which has a name and no keywords."""
    return open_scene(source, assets, offset, allow_no_crs=allow_no_crs)


def take_id(taken: MutableMapping[str, Any], name: str, ref: SceneRef) -> None:
    """Note whose a scene's id is, and refuse another scene of the same: the two would share a folder.

    Raises
    ------
    SceneError
        If the id is another's.
    """
    if taken.setdefault(name, ref.source) != ref.source:
        raise SceneError(
            f"{ref.source} has the same id as {taken[name]}, and with it the same folder: give the scenes ids of their "
            "own, or run one apart with another output folder"
        )


def make_product(
    request: Request, scene: Scene, executor: Executor, on_progress: Callable[[Progress], None]
) -> Product:
    """Run the model over a scene and leave its product; errors as `pansharpener` and `write`.

    Raises
    ------
    RunError
        Also if this process runs out of memory.
    """
    try:
        return write(
            scene,
            request.find_model(scene, request.settings, executor),
            request.out,
            request.settings,
            executor=executor,
            resume=request.resume,
            overwrite=request.overwrite,
            any_gsd=request.any_gsd,
            job_limit_s=request.job_limit_s,
            on_progress=on_progress,
        )
    except MemoryError as error:
        raise RunError(
            "the memory is full: use a smaller chunk, window or batch, or fewer workers, and finish with --resume"
        ) from error
