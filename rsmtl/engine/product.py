"""`write`: a scene's whole product, on the disk, resumable, with its STAC item last."""

import logging
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import prod
from pathlib import Path

from upath import UPath

from rsmtl.config import Settings
from rsmtl.engine.cost import check_fits, cost
from rsmtl.engine.device import check_device
from rsmtl.engine.drain import JOB_LIMIT_S, Progress, drain
from rsmtl.engine.events import tell_product
from rsmtl.engine.executor import Executor, SerialExecutor
from rsmtl.engine.mend import unmark_torn
from rsmtl.engine.plan import Plan, plan
from rsmtl.engine.publish import publish
from rsmtl.engine.standing import taken_up
from rsmtl.errors import InputError, ResumeError, SceneWarning
from rsmtl.logs import tell
from rsmtl.models.model import Model
from rsmtl.scene.scene import Scene
from rsmtl.shown import Shown
from rsmtl.store.claim import claimed
from rsmtl.store.folder import product_folder
from rsmtl.store.item import finished
from rsmtl.store.ledger import Ledger, fingerprint_digest
from rsmtl.store.place import Place, place
from rsmtl.store.provenance import Run, read_run
from rsmtl.store.symlinks import refuse_symlinks
from rsmtl.store.zarr import create_store
from rsmtl.units import duration, pixels

_LOG = logging.getLogger(__name__)

CLAIM_LOOK_S = 1.0
"""Between two looks at the claim, each of which is a request to an object store."""


@dataclass(frozen=True, repr=False)
class Product(Shown):
    """What `write` leaves, and what it took."""

    scene: str
    """Its id."""
    folder: Place
    reused: bool
    """True if the very product stood already and nothing was run."""
    windows_run: int
    """By this call; a resumed run does not count what the interrupted one ran."""
    n_windows: int
    """Run over the product's whole life: the windows of the lattice with a valid pixel."""
    n_px: int
    """Of the reference grid."""
    seconds: float
    notes: tuple[str, ...] = ()
    """What whoever uses the product should know of the scene, a sentence each; none of one that stood."""

    def facts(self) -> dict[str, str]:
        """Return where the product is, and what it took."""
        done = "already done" if self.reused else f"{self.windows_run:,} run in {duration(self.seconds)}"
        return {
            "of": self.scene,
            "folder": str(self.folder),
            "size": pixels(self.n_px),
            "windows": f"{self.n_windows:,}, {done}",
        }


def write(
    scene: Scene,
    model: Model,
    out: str | Path | UPath,
    settings: Settings | None = None,
    *,
    executor: Executor | None = None,
    resume: bool = False,
    overwrite: bool = False,
    any_gsd: bool = False,
    job_limit_s: float = JOB_LIMIT_S,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Product:
    """Run a model over a whole scene and leave its product in `out/<scene id>/`.

    The product is a Zarr store, a COG per output, a quicklook, `run.json` and, last of all, `item.json`: where
    there is an item, the product is complete. A product that stands with the same fingerprint is left as it is.

    Parameters
    ----------
    out
        A folder, or a URL of an object store such as `s3://bucket/prefix`, that all workers can write to.
    settings
        What they leave open is chosen; where a run stands in the product's folder, as it was chosen then.
    executor
        Who runs the jobs; this thread unless said. See `rsmtl.dispatch`.
    resume
        Take up an interrupted run; chunks that are finished are not run again.
    overwrite
        Remove what stands in the product's folder.
    any_gsd
        Take a scene more than 1.5 times finer or coarser than what the model was trained on, too.
    job_limit_s
        A job that runs for longer hangs, as one may that reads from a server: it is given up with its worker.
    on_progress
        Called when a chunk is finished.

    Raises
    ------
    SceneError, PlanError
        If scene, model, settings and workers do not go together. Nothing is left behind.
    ResumeError
        If the folder holds something else, an interrupted run and `resume` was not asked for, or a finished product
        of files whose version nobody can tell.
    RunError
        If the disk is full, workers die again and again, or another run is at work on the scene. What is finished
        stands, to be resumed.

    Warns
    -----
    SceneWarning
        If many of the scene's pixels lie outside what the model expects.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    settings, executor = settings or Settings(), executor or SerialExecutor()
    folder, model = product_folder(place(out), scene.id), model.as_it_is()
    asked = settings
    if not overwrite or (resume and finished(folder) is None):
        settings = taken_up(asked, folder, model)
    made = plan(scene, model, settings, any_gsd=any_gsd, executor=executor)
    if overwrite and settings != asked and fingerprint_digest(Ledger(folder).fingerprint() or {}) != made.run:
        # begun anew, its sizes are chosen anew
        made = plan(scene, model, asked, any_gsd=any_gsd, executor=executor)
    check_fits(cost(made), executor)
    if not overwrite and (run := _standing(folder, made)):
        return stood(folder, run, time.perf_counter() - clock)
    refuse_symlinks(folder)
    executor.submit(check_device, made.settings.device).result()
    with claimed(folder) as check_claim:
        if not overwrite and (run := _standing(folder, made)):  # by whoever had the claim until now
            return stood(folder, run, time.perf_counter() - clock)
        for note in made.notes:
            tell(_LOG, "scene noted", level=logging.WARNING, scene=scene.id, note=note)
            warnings.warn(note, SceneWarning, stacklevel=2)
        Ledger(folder).open(made.fingerprint, resume=resume, overwrite=overwrite)
        create_store(folder, made.outputs, made.geobox, made.lattice.y.chunk_px)
        unmark_torn(made, folder, executor)

        looked_s = float("-inf")

        def report(progress: Progress) -> None:
            nonlocal looked_s
            if time.monotonic() - looked_s > CLAIM_LOOK_S:
                check_claim()
                looked_s = time.monotonic()
            on_progress(progress)

        progress = drain(made, folder, executor, report, job_limit_s=job_limit_s)
        publish(made, folder, executor, started, check_claim)
        Ledger(folder).close()
    product = _told(folder, read_run(folder), False, progress.windows_run, time.perf_counter() - clock)
    return replace(product, notes=made.notes)


def _standing(folder: Place, made: Plan) -> Run | None:
    """Return the record of a run's finished product; None if there is none, or it is damaged, and is to be written."""
    try:
        run = read_run(folder) if finished(folder) == made.run else None
    except InputError:
        return None
    untold = [source.href for source in made.scene.sources if not source.version]
    if run is not None and untold:
        raise ResumeError(
            f"the product in {folder} was made of {untold[0]}, of which nobody can tell whether it has changed since "
            "then: make it again with --overwrite"
        )
    return run


def stood(folder: Place, run: Run, seconds: float) -> Product:
    """Return a product that was found finished, by its record."""
    return _told(folder, run, True, 0, seconds)


def _told(folder: Place, run: Run, reused: bool, windows_run: int, seconds: float) -> Product:
    tell_product(run.scene_id, reused, windows_run, seconds)
    return Product(run.scene_id, folder, reused, windows_run, run.windows_run, prod(run.shape_px), seconds)
