"""`write`: a scene's whole product, on the disk, resumable, with its STAC item last."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rsmtl.config import Settings
from rsmtl.engine.cost import check_fits, cost
from rsmtl.engine.drain import Progress, drain
from rsmtl.engine.executor import Executor, SerialExecutor
from rsmtl.engine.network import check_device
from rsmtl.engine.plan import plan
from rsmtl.engine.publish import publish
from rsmtl.models.model import Model
from rsmtl.scene.scene import Scene
from rsmtl.store.folder import product_folder
from rsmtl.store.item import finished
from rsmtl.store.ledger import Ledger
from rsmtl.store.zarr import create_store


@dataclass(frozen=True)
class Product:
    """What `write` leaves, and what it took."""

    folder: Path
    reused: bool
    """True if the very product stood already and nothing was run."""
    windows_run: int
    """By this call; a resumed run does not count what the interrupted one ran."""
    n_windows: int
    """Run over the product's whole life: the windows of the lattice with a valid pixel."""
    seconds: float


def write(
    scene: Scene,
    model: Model,
    out: Path,
    settings: Settings | None = None,
    *,
    executor: Executor | None = None,
    resume: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Product:
    """Run a model over a whole scene and leave its product in `out/<scene id>/`.

    The product is a Zarr store, a COG per output, a quicklook, `run.json` and, last of all, `item.json`: where
    there is an item, the product is complete. A product that stands with the same fingerprint is left as it is.

    Parameters
    ----------
    executor
        Who runs the jobs; this thread unless said. See `rsmtl.dispatch`.
    resume
        Take up an interrupted run; chunks that are finished are not run again.
    overwrite
        Remove what stands in the product's folder.
    on_progress
        Called when a chunk is finished.

    Raises
    ------
    SceneError, PlanError
        If scene, model, settings and workers do not go together. Nothing is left behind.
    ResumeError
        If the folder holds something else, or an interrupted run and `resume` was not asked for.
    RunError
        If the disk is full, or workers die again and again. What is finished stands, to be resumed.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    made = plan(scene, model, settings or Settings())
    executor = executor or SerialExecutor()
    check_fits(cost(made), executor)
    folder = product_folder(out, scene.id)
    if finished(folder) == made.run and not overwrite:
        return _summary(folder, True, 0, clock)
    executor.submit(check_device, made.settings.device).result()
    ledger = Ledger(folder)
    ledger.open(made.fingerprint, resume=resume, overwrite=overwrite)
    create_store(folder, made.outputs, made.geobox, made.lattice.y.chunk_px)
    progress = drain(made, folder, executor, on_progress)
    publish(made, folder, executor, started)
    ledger.close()
    return _summary(folder, False, progress.windows_run, clock)


def _summary(folder: Path, reused: bool, windows_run: int, clock: float) -> Product:
    n_windows = sum(record.windows_run for record in Ledger(folder).done().values())
    return Product(folder, reused, windows_run, n_windows, time.perf_counter() - clock)
