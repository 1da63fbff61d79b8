"""A catalogue of scenes through a model: a step for each scene, all on one cluster of workers.

    python -m flows.process_catalogue CATALOGUE --model urec-landscape --out OUT --workers 4

Scenes run one after the other. The chunks of one scene keep all workers busy; a second scene beside it would not
make the two faster, but it would double what lies unfinished, and suffer when the first one breaks a worker.
"""

from math import prod
from pathlib import Path
from typing import Annotated, Any

import typer
from dask.system import CPU_COUNT
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.runtime import task_run
from prefect.states import Failed
from prefect.tasks import Task, exponential_backoff
from prefect.utilities.annotations import quote
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from rich.console import Console

from flows.command_line import outcome, run_as_program
from flows.embedded import embedded_server
from flows.scene_table import SceneRow, scene_table
from rsmtl.cli.bar import SceneBar
from rsmtl.cli.options import with_settings
from rsmtl.cli.sources import read_assets
from rsmtl.config import Settings
from rsmtl.dispatch import cluster_at, local_cluster, said_plainly
from rsmtl.engine.classical import ModelFinder, model_finder
from rsmtl.engine.executor import Executor
from rsmtl.engine.product import write
from rsmtl.errors import InputError, RsmtlError, RunError, SceneError, explain
from rsmtl.scene.open import Assets, SceneRef, open_scene, scene_refs
from rsmtl.store.provenance import read_run


class CatalogueRun(BaseModel):
    """What the flow is given: scenes, model, where the products go, and who does the work."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    catalogue: str
    """STAC catalogue, collection or item, or a single raster or Zarr store: a path or URL."""
    model: str
    """A model that comes with rsmtl, the path of a checkpoint or exported program, or a classical method."""
    out: Path
    """Folder that receives a folder for each scene."""
    assets: Assets | None = None
    """What to take of each scene, in order; a list for each input of a model that has several."""
    settings: Settings = Settings()
    """Window, overlap, chunk and all else that decides the product."""
    workers: int | None = Field(default=None, gt=0)
    """Worker processes to start on this machine. Unless this or a scheduler is given, as many as fill its cores."""
    scheduler: str | None = None
    """Address of the scheduler of a Dask cluster that stands, to be used instead, such as tcp://host:8786."""
    resume: bool = True
    """Finish products that an earlier run left unfinished; otherwise such a scene fails."""
    overwrite: bool = False
    """Remove products that stand, and start anew."""
    retries: int = Field(default=3, ge=0)
    """How often a scene is tried again that failed for a disk's, a network's or a worker's sake."""
    retry_delay_s: float = Field(default=10.0, ge=0)
    """Seconds before the first such retry; each further one waits twice as long."""

    @model_validator(mode="after")
    def _one_cluster(self) -> "CatalogueRun":
        if self.workers and self.scheduler:
            raise ValueError(
                "`workers` starts a cluster and `scheduler` uses one that stands: give one of them"
            )
        return self


@flow(name="process-catalogue", persist_result=False)
def process_catalogue(run: CatalogueRun) -> list[SceneRow] | State:
    """Run a model over every scene of a catalogue.

    Returns
    -------
    list of SceneRow
        One for each scene, in the catalogue's order. If scenes failed, a failed state that names each with its
        reason, after all others were processed; if nothing could be begun, one that says why.
    """
    try:
        find_model, refs = model_finder(run.model), list(scene_refs(run.catalogue))
        n_workers = run.workers or max(1, CPU_COUNT // run.settings.torch_threads)
        with cluster_at(run.scheduler) if run.scheduler else local_cluster(n_workers) as cluster:
            get_run_logger().info("%d scenes; dashboard: %s", len(refs), cluster.dashboard)
            rows = _process_each(refs, run, find_model, cluster)
    except RsmtlError as error:
        return Failed(message=str(error), data=error)
    create_markdown_artifact(scene_table(rows), key="scenes", description=f"Products in {run.out}")
    failed = [f"{row.scene}: {row.reason}" for row in rows if row.result == "failed"]
    get_run_logger().info(
        "%d of %d scenes have their product in %s", len(rows) - len(failed), len(rows), run.out
    )
    if failed:
        sentence = f"{len(failed)} of {len(rows)} scenes failed: {'; '.join(failed)}"
        return Failed(message=sentence, data=RunError(sentence))
    return rows


def _may_pass(_step: Task[..., Any], _run: TaskRun, state: State) -> bool:
    """Say whether trying again can help: against disks, networks and dying workers it can, against wrong input not."""
    return isinstance(state.result(raise_on_failure=False), RunError | OSError)


@task(
    task_run_name="{ref.id}",
    cache_policy=NO_CACHE,  # what stands is for the store to know, not for Prefect
    persist_result=False,
    retry_condition_fn=_may_pass,
)
def process_scene(
    ref: SceneRef, run: CatalogueRun, find_model: ModelFinder, executor: Executor, taken: frozenset[str]
) -> SceneRow | State:
    """Run the model over one scene. A retry takes up what the attempt before it has finished.

    Parameters
    ----------
    taken
        Ids of the scenes that have their product from this very run.
    """
    again = (task_run.run_count or 1) > 1
    try:
        scene = open_scene(ref.source, run.assets)
        if scene.id in taken:
            raise SceneError(
                f"an earlier scene of the catalogue is called {scene.id!r} too, and has its product in the folder that "
                "this one's would go to: give the scenes ids of their own"
            )
        with SceneBar(scene.id, Console(stderr=True)) as bar, said_plainly():
            product = write(
                scene,
                find_model(scene, run.settings, executor),
                run.out,
                run.settings,
                executor=executor,
                resume=run.resume or again,
                overwrite=run.overwrite and not again,
                on_progress=bar.update,
            )
    except (RsmtlError, OSError) as error:
        return Failed(message=str(error), data=error)
    return SceneRow(
        scene=scene.id,
        result="stood already" if product.reused else "written",
        folder=product.folder,
        n_windows=product.n_windows,
        n_px=prod(read_run(product.folder).shape_px),
        seconds=product.seconds,
    )


def _process_each(
    refs: list[SceneRef], run: CatalogueRun, find_model: ModelFinder, executor: Executor
) -> list[SceneRow]:
    """Take a step for each scene, one after the other; one that fails, fails alone."""
    step = process_scene.with_options(
        retries=run.retries, retry_delay_seconds=exponential_backoff(run.retry_delay_s)
    )
    rows: list[SceneRow] = []
    for ref in refs:
        taken = frozenset(row.scene for row in rows if row.folder)
        # Quoted, or Prefect would look through the weights for results of other steps.
        state = step(ref, run, quote(find_model), quote(executor), taken, return_state=True)
        rows.append(_row(ref, state.result(raise_on_failure=False)))
        get_run_logger().info("%s: %s", rows[-1].scene, rows[-1].result)
    return rows


def _row(ref: SceneRef, result: Any) -> SceneRow:
    """Return what a step answered, or the row that says how it failed."""
    if isinstance(result, SceneRow):
        return result
    if isinstance(result, RsmtlError | OSError):
        return SceneRow(ref.id, "failed", reason=str(result))
    get_run_logger().error("%s failed in a way that nobody foresaw", ref.id, exc_info=result)
    return SceneRow(ref.id, "failed", reason=f"{type(result).__name__}: {result}")


def _about(field: str, **how: Any) -> Any:
    return typer.Option(help=CatalogueRun.model_fields[field].description, **how)


@with_settings
def main(
    catalogue: Annotated[str, typer.Argument(help=CatalogueRun.model_fields["catalogue"].description)],
    model: Annotated[str, _about("model", metavar="NAME|PATH")],
    out: Annotated[Path, _about("out", metavar="DIR")],
    settings: Settings,
    assets: Annotated[list[str], _about("assets", metavar="[INPUT=]NAME,...")] = [],  # noqa: B006  # typer copies it
    workers: Annotated[int | None, _about("workers", metavar="N")] = None,
    scheduler: Annotated[str | None, _about("scheduler", metavar="ADDRESS")] = None,
    resume: Annotated[bool, _about("resume")] = True,
    overwrite: Annotated[bool, _about("overwrite")] = False,
    retries: Annotated[int, _about("retries")] = 3,
    retry_delay_s: Annotated[float, _about("retry_delay_s")] = 10.0,
) -> int:
    """Run a model over every scene of a catalogue, as a Prefect flow."""
    try:
        run = CatalogueRun(
            catalogue=catalogue,
            model=model,
            out=out.absolute(),
            assets=read_assets(assets),
            settings=settings,
            workers=workers,
            scheduler=scheduler,
            resume=resume,
            overwrite=overwrite,
            retries=retries,
            retry_delay_s=retry_delay_s,
        )
    except ValidationError as error:
        raise InputError(f"the options are wrong: {explain(error)}") from error
    with embedded_server(run.out / ".prefect"):
        return outcome(process_catalogue(run, return_state=True))


if __name__ == "__main__":
    run_as_program(main)
