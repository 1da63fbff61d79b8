"""What comes after the run of a scene, over that run: COGs, the quicklook, taking up a finished run, verification.

The run is that of the store alone, as in the other comparisons. A product whose item was withdrawn is taken up: its
shards are held against their checksums, no window is run, and COGs, quicklook and item are written again. `verify`
computes four chunks and all that they depend on again, with one thread of this process.
"""

import time
from collections.abc import Callable, Iterator

from rsmtl.dispatch import ClusterExecutor, local_cluster
from rsmtl.engine.plan import Plan, plan
from rsmtl.engine.product import write
from rsmtl.engine.publish import cog_job, quicklook_job
from rsmtl.engine.verify import verify
from rsmtl.models.checkpoint import load_model
from rsmtl.scene.open import open_scene
from rsmtl.store.folder import ITEM_NAME
from rsmtl.store.place import Place
from tests.benchmarks.overhead import MODEL, SETTINGS, landscape, row_of, run, warm_up
from tests.benchmarks.table import Options, Row


def rows(options: Options) -> Iterator[Row]:
    """Write one product, and then let a run of its scene and each of the steps take turns."""
    made = plan(open_scene(landscape(options.folder, options.size_px)), load_model(MODEL), SETTINGS)
    with local_cluster(options.n_workers) as executor:
        warm_up(made, executor)
        folder = write(made.scene, made.model, options.folder / "out", SETTINGS, executor=executor).folder
        steps = _steps(made, folder, executor)
        found: dict[str, list[tuple[float, float]]] = {what: [] for what in steps}
        for _ in range(options.n_pairs):
            usual = run(made, executor).wall_s
            for what, step in steps.items():
                found[what].append((_seconds(step), usual))
    for what, pairs in found.items():
        yield row_of("h", f"{what} over the run", "s", pairs)


def _steps(made: Plan, folder: Place, executor: ClusterExecutor) -> dict[str, Callable[[], object]]:
    def cogs() -> None:
        jobs = [executor.submit(cog_job, folder, output) for output in made.outputs]
        for job in jobs:
            job.result()

    def resume() -> None:
        (folder / ITEM_NAME).unlink()
        product = write(made.scene, made.model, folder.parent, SETTINGS, executor=executor, resume=True)
        if product.windows_run:
            raise RuntimeError(
                f"taking up a finished run of {product.n_windows} windows ran {product.windows_run}"
            )

    return {
        "COGs": cogs,
        "quicklook": lambda: executor.submit(quicklook_job, executor.share(made), folder).result(),
        "resume, with COGs and quicklook,": resume,
        "verify, no chunk computed again,": lambda: verify(folder, n_chunks=0),
        "verify, four chunks computed again,": lambda: verify(folder),
    }


def _seconds(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start
