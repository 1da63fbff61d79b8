"""A catalogue of scenes through a model: a step for each scene, all on one cluster of workers.

    python -m flows.process_catalogue CATALOGUE --model urec-landscape --out OUT --workers 4

Scenes run one after the other. The chunks of one scene keep all workers busy; a second scene beside it would not
make the two faster, but it would double what lies unfinished, and suffer when the first one breaks a worker.
"""

import logging
import sys
from dataclasses import replace
from typing import Annotated, Any

import httpx
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

from flows.cluster import flow_cluster
from flows.command_line import outcome, run_command
from flows.embedded import embedded_server
from flows.scene_table import SceneRow, scene_table
from rsmtl.cli.bar import SceneBar
from rsmtl.cli.options import LogOption, with_search, with_settings
from rsmtl.cli.sources import read_assets
from rsmtl.config import Settings
from rsmtl.engine.classical import model_finder
from rsmtl.engine.drain import JOB_LIMIT_S
from rsmtl.engine.executor import Executor
from rsmtl.engine.product import Product
from rsmtl.errors import InputError, RsmtlError, RunError, explain
from rsmtl.logs import log_to, tell, tell_failed
from rsmtl.report import REPORT_NAME, write_report
from rsmtl.request import Request, make_product, open_listed, standing_product
from rsmtl.scene.open import Assets, SceneRef, scene_refs
from rsmtl.scene.search import Search
from rsmtl.store.collection import OutputCollection
from rsmtl.store.place import Place, is_object, place, read

_LOG = logging.getLogger("rsmtl.flows")

N_NAMED = 20
"""Failed scenes that the state of a run names; its table has more of them."""


class CatalogueRun(BaseModel):
    """What the flow is given: scenes, model, where the products go, and who does the work."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    catalogue: str
    """STAC catalogue, collection or item, or a single raster or Zarr store: a path or URL."""
    model: str
    """A model that comes with rsmtl, the path of a checkpoint or exported program, or a classical method."""
    search: Search = Search()
    """Bounds on the items of the catalogue; all of them unless given."""
    out: str
    """Folder that receives a folder for each scene: a path, or the URL of one in an object store."""
    assets: Assets | None = None
    """What to take of each scene, in order; a list for each input of a model that has several."""
    settings: Settings = Settings()
    """Window, overlap, chunk and all else that decides the product; sizes that are left out are chosen."""
    workers: int | None = Field(default=None, gt=0)
    """Worker processes to start on this machine. Unless this or a scheduler is given, as many as fill its cores."""
    scheduler: str | None = None
    """Address of the scheduler of a Dask cluster that stands, to be used instead, such as tcp://host:8786."""
    resume: bool = True
    """Finish products that an earlier run left unfinished; otherwise such a scene fails."""
    overwrite: bool = False
    """Remove products that stand, and start anew."""
    any_gsd: bool = False
    """Take scenes more than 1.5 times finer or coarser than what the model was trained on, too."""
    allow_no_crs: bool = False
    """Take images that lie nowhere on the Earth, too: the product's grid is that of their pixels."""
    retries: int = Field(default=3, ge=0)
    """How often a scene is tried again that failed for a disk's, a network's or a worker's sake."""
    retry_delay_s: float = Field(default=10.0, ge=0)
    """Seconds before the first such retry; each further one waits twice as long."""

    job_limit_s: float = Field(default=JOB_LIMIT_S, gt=0)
    """A job on a chunk that runs for longer hangs, and is given up with its worker."""

    @model_validator(mode="after")
    def _one_cluster(self) -> "CatalogueRun":
        if self.workers and self.scheduler:
            raise ValueError(
                "`workers` starts a cluster and `scheduler` uses one that stands: give one of them"
            )
        return self

    @property
    def folder(self) -> Place:
        """Where the products go; a relative path begins at the folder that the flow runs in."""
        return place(self.out)

    def request(self) -> Request:
        """Return what is asked of every scene; errors as `load_model`."""
        return Request(
            model_finder(self.model),
            self.folder,
            self.settings,
            self.assets,
            self.resume,
            self.overwrite,
            self.any_gsd,
            self.job_limit_s,
            self.allow_no_crs,
        )


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
        rows = _rows(run)
    except RsmtlError as error:
        return Failed(message=str(error), data=error)
    _show(rows, run)
    _write_report(rows, run)
    failed = [f"{row.scene}: {row.reason}" for row in rows if row.result == "failed"]
    get_run_logger().info("%d of %d scenes have their product", len(rows) - len(failed), len(rows))
    if failed:
        more = [f"and {len(failed) - N_NAMED} more"] if len(failed) > N_NAMED else []
        sentence = f"{len(failed)} of {len(rows)} scenes failed: {'; '.join(failed[:N_NAMED] + more)}"
        return Failed(message=sentence, data=RunError(sentence))
    return rows


def _show(rows: list[SceneRow], run: CatalogueRun) -> None:
    """Keep the table of scenes with the records of the run. The products are no worse without."""
    try:
        create_markdown_artifact(scene_table(rows), key="scenes", description=f"Products in {run.folder}")
    except httpx.HTTPError as error:
        get_run_logger().warning(
            "the table of scenes is not kept: Prefect's server does not answer (%s)", error
        )


def _write_report(rows: list[SceneRow], run: CatalogueRun) -> None:
    """Write the page of the run, unless nothing has changed since. The products are no worse without."""
    failed = {row.scene: row.reason for row in rows if row.result == "failed"}
    for scene, reason in failed.items():
        tell_failed(_LOG, scene, RunError(reason))
    try:
        if any(row.result != "stood already" for row in rows) or read(run.folder / REPORT_NAME) is None:
            write_report(run.folder, failed)
    except RsmtlError as error:
        get_run_logger().warning("the report is not written: %s", error)


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
    ref: SceneRef, request: Request, executor: Executor, taken: dict[str, Any]
) -> SceneRow | State:
    """Run the model over one scene. A retry takes up what the attempt before it has finished.

    Parameters
    ----------
    taken
        Sources of the scenes of the catalogue that have their product, by id.
    """
    again = (task_run.run_count or 1) > 1
    if again:
        tell(_LOG, "scene retried", scene=ref.id)
    # What an attempt before has begun is kept, and what it did not get to is overwritten all the same.
    request = replace(request, resume=again or (request.resume and not request.overwrite))
    try:
        scene = open_listed(request, ref, executor, taken)
        with SceneBar(scene.id, Console(stderr=True)) as bar:
            return _done(make_product(request, scene, executor, bar.update))
    except (RsmtlError, OSError) as error:
        return Failed(message=str(error), data=error)


def _done(product: Product) -> SceneRow:
    for note in product.notes:
        get_run_logger().warning("%s: %s", product.scene, note)
    return SceneRow(
        scene=product.scene,
        result="stood already" if product.reused else "written",
        folder=product.folder,
        n_windows=product.n_windows,
        n_px=product.n_px,
        seconds=product.seconds,
    )


def _rows(run: CatalogueRun) -> list[SceneRow]:
    """Say of every scene what became of it; those whose product does not stand are processed."""
    logger, catalogue = get_run_logger(), OutputCollection(run.folder)
    request, refs = run.request(), list(scene_refs(run.catalogue, run.search))
    found = ((number, standing_product(request, ref)) for number, ref in enumerate(refs))
    rows = {number: _done(product) for number, product in found if product}  # they are no steps for Prefect
    logger.info("%d scenes, products in %s: %d stand already", len(refs), run.folder, len(rows))
    if len(rows) < len(refs):
        n_workers = run.workers or max(1, CPU_COUNT // run.settings.torch_threads)
        with flow_cluster(run.scheduler, n_workers) as cluster:
            logger.info("dashboard: %s", cluster.dashboard)
            _process_others(refs, rows, run, request, cluster, catalogue)
    if any(row.folder for row in rows.values()):
        catalogue.write()
    return [rows[number] for number in range(len(refs))]


def _process_others(
    refs: list[SceneRef],
    rows: dict[int, SceneRow],
    run: CatalogueRun,
    request: Request,
    executor: Executor,
    catalogue: OutputCollection,
) -> None:
    """Take a step for each scene that has no row yet, one after the other, and add one; one that fails, fails alone."""
    step = process_scene.with_options(
        retries=run.retries, retry_delay_seconds=exponential_backoff(run.retry_delay_s)
    )
    taken = {row.scene: refs[number].source for number, row in rows.items()}
    for number, ref in enumerate(refs):
        if number in rows:
            continue
        # Quoted, or Prefect would look through weights and ids for results of other steps.
        state = step(ref, quote(request), quote(executor), quote(taken), return_state=True)
        row = rows[number] = _row(ref, state.result(raise_on_failure=False))
        if row.folder:
            taken[row.scene] = ref.source
            catalogue.add(row.folder)
        get_run_logger().info("%s: %s", row.scene, row.result)


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


@with_search
@with_settings
def main(
    catalogue: Annotated[str, typer.Argument(help=CatalogueRun.model_fields["catalogue"].description)],
    model: Annotated[str, _about("model", metavar="NAME|PATH")],
    out: Annotated[str, _about("out", metavar="DIR")],
    settings: Settings,
    search: Search,
    assets: Annotated[list[str], _about("assets", metavar="[INPUT=]NAME,...")] = [],  # noqa: B006  # typer copies it
    workers: Annotated[int | None, _about("workers", metavar="N")] = None,
    scheduler: Annotated[str | None, _about("scheduler", metavar="ADDRESS")] = None,
    resume: Annotated[bool, _about("resume")] = True,
    overwrite: Annotated[bool, _about("overwrite")] = False,
    any_gsd: Annotated[bool, _about("any_gsd")] = False,
    allow_no_crs: Annotated[bool, _about("allow_no_crs")] = False,
    retries: Annotated[int, _about("retries")] = 3,
    retry_delay_s: Annotated[float, _about("retry_delay_s")] = 10.0,
    job_limit_s: Annotated[float, _about("job_limit_s")] = JOB_LIMIT_S,
    log: LogOption = None,
) -> int:
    """Run a model over every scene of a catalogue, as a Prefect flow."""
    try:
        run = CatalogueRun(
            catalogue=catalogue,
            model=model,
            out=out,
            assets=read_assets(assets),
            settings=settings,
            workers=workers,
            scheduler=scheduler,
            resume=resume,
            overwrite=overwrite,
            any_gsd=any_gsd,
            allow_no_crs=allow_no_crs,
            retries=retries,
            retry_delay_s=retry_delay_s,
            job_limit_s=job_limit_s,
            search=search,
        )
    except ValidationError as error:
        raise InputError(f"the options are wrong: {explain(error)}") from error
    with log_to(log), embedded_server(None if is_object(run.folder) else run.folder / ".prefect"):
        return outcome(process_catalogue(run, return_state=True))


if __name__ == "__main__":
    sys.exit(run_command(main))
