"""What the flow costs: a catalogue of scenes of one chunk through Prefect, over the same scenes without it.

Both sides use the same worker processes, model and settings, and write whole products. They take turns. Prefect's
embedded server is started before; all else is in it: the flow's own run, a step and its log for each scene, the table.
"""

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster

from flows.embedded import embedded_server
from flows.process_catalogue import CatalogueRun, process_catalogue
from rsmtl.config import Settings
from rsmtl.dispatch import ClusterExecutor
from rsmtl.engine.product import write
from rsmtl.models.checkpoint import load_model
from rsmtl.scene.open import open_scene, scene_refs
from rsmtl.synthetic.catalogue import write_catalogue
from tests import fakes
from tests.benchmarks.overhead import row_of
from tests.benchmarks.table import Options, Row

N_SCENES = 24
ASSETS = ["hrms"]
SETTINGS = Settings(window=128, overlap=16)


def rows(options: Options) -> Iterator[Row]:
    """Run a catalogue of small scenes with and without the flow, in turn, and each time once more where all stands."""
    with (
        LocalCluster(n_workers=options.n_workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
        embedded_server(options.folder / "prefect"),
    ):
        logging.getLogger("prefect").setLevel(logging.WARNING)
        folder = options.folder
        catalogue = write_catalogue(folder / "catalogue", n_scenes=N_SCENES, size_px=128, seed=3)
        run = CatalogueRun(
            catalogue=str(catalogue),
            model=str(fakes.random_checkpoint(folder / "model.safetensors")),
            out=str(folder / "warm"),
            assets=ASSETS,
            settings=SETTINGS,
            scheduler=cluster.scheduler_address,
        )
        executor = ClusterExecutor(client)
        _flow(run)  # imports, weights, the first rows of the database
        runs = [run.model_copy(update={"out": f"{run.out}{number}"}) for number in range(options.n_pairs)]
        found = [(_timed(_plain, each, executor), _timed(_flow, each), _timed(_flow, each)) for each in runs]
    through = [(flow, plain) for plain, flow, _ in found]
    standing = [(again, plain) for plain, _, again in found]
    yield row_of("j", "a scene of one chunk through the flow, over plain write", "s/scene", through)
    yield row_of("j", "a scene that stands through the flow, over plain write", "s/scene", standing)


def _timed(action: Callable[..., None], *args: Any) -> float:
    start = time.perf_counter()
    action(*args)
    return (time.perf_counter() - start) / N_SCENES


def _plain(run: CatalogueRun, executor: ClusterExecutor) -> None:
    model, out = load_model(run.model), Path(f"{run.out}-plain")
    for ref in scene_refs(run.catalogue):
        write(open_scene(ref.source, run.assets), model, out, run.settings, executor=executor)


def _flow(run: CatalogueRun) -> None:
    if not (state := process_catalogue(run, return_state=True)).is_completed():
        raise RuntimeError(state.message)
