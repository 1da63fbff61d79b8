"""A model from its data: prepare, train on workers, evaluate, and register what is better than what stands.

    python -m flows.train_model CONFIG --data DATA --out RUN --models MODELS --name NAME --workers 4

What was done stays done: data that are prepared are used, a training that was interrupted goes on, and the flow may be
given again until the model is registered.
"""

import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from dask.system import CPU_COUNT
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.states import Failed
from prefect.tasks import Task, exponential_backoff
from prefect.utilities.annotations import quote
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from flows.cluster import flow_cluster
from flows.command_line import outcome, run_command
from flows.embedded import embedded_server
from rsmtl.datasets.prepared import is_prepared
from rsmtl.dispatch import ClusterExecutor, Launch, launch
from rsmtl.errors import InputError, RsmtlError, RunError, explain
from rsmtl.models import read_card
from rsmtl.prepare import prepare
from rsmtl.store.place import replacing
from rsmtl.training import evaluate_checkpoint, read_config
from rsmtl.training.card import describe, scores_table
from rsmtl.training.validate import Scores, validation_score


class TrainingRun(BaseModel):
    """What the flow is given: a configuration, where data lie and results go, and who does the work."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    config: str
    """A training configuration that comes with rsmtl, or the path of one."""
    data: Path
    """Folder of data sets; receives NAME.zarr if there is a source."""
    source: Path | None = None
    """Folder that holds the data set as it is distributed, to be prepared first."""
    out: Path
    """Folder of the training: log, checkpoints, pictures."""
    models: Path
    """Folder of registered models."""
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    """Under which the model is registered."""
    workers: int | None = Field(default=None, gt=0)
    """Worker processes to start on this machine. Unless this or a scheduler is given, as many as fill its cores."""
    scheduler: str | None = None
    """Address of the scheduler of a Dask cluster that stands, to be used instead, such as tcp://host:8786."""
    min_workers: int = Field(default=1, gt=0)
    """The training goes on with so few workers."""
    max_restarts: int = Field(default=3, ge=0)
    """How often ranks may fail."""
    retries: int = Field(default=2, ge=0)
    """How often a training is taken up again that failed for a disk's or a worker's sake."""
    retry_delay_s: float = Field(default=30.0, ge=0)
    """Seconds before the first such retry; each further one waits twice as long."""

    @model_validator(mode="after")
    def _one_cluster(self) -> "TrainingRun":
        if self.workers and self.scheduler:
            raise ValueError(
                "`workers` starts a cluster and `scheduler` uses one that stands: give one of them"
            )
        return self


class Registered(BaseModel):
    """What came out."""

    checkpoint: Path
    """Of the training."""
    model: Path
    """What is registered under the name now."""
    better: bool
    """Whether that is the new one."""
    scores: dict[str, Any]
    """Of the new one on the test split, or on the validation split where there is no test."""


@flow(name="train-model", persist_result=False)
def train_model(run: TrainingRun) -> Registered | State:
    """Train a model, and register it if it is better than the one that stands under its name.

    Returns
    -------
    Registered
        Or a failed state that says why.
    """
    try:
        with flow_cluster(run.scheduler, run.workers or CPU_COUNT) as cluster:
            get_run_logger().info("dashboard: %s", cluster.dashboard)
            prepare_data(run, quote(cluster))
            training = train_on_cluster.with_options(
                retries=run.retries, retry_delay_seconds=exponential_backoff(run.retry_delay_s)
            )
            checkpoint = training(run, quote(cluster))
        found, standing = evaluate(run, checkpoint)
        return register(run, checkpoint, found, standing)
    except RsmtlError as error:
        return Failed(message=str(error), data=error)


def _may_pass(_step: Task[..., Any], _run: TaskRun, state: State) -> bool:
    """Say whether trying again can help: against disks and dying workers it can, against wrong input not."""
    return isinstance(state.result(raise_on_failure=False), RunError | OSError)


@task(cache_policy=NO_CACHE, persist_result=False)
def prepare_data(run: TrainingRun, cluster: ClusterExecutor) -> None:
    """Prepare the data set, unless it stands or there is nothing to prepare it from."""
    data = read_config(run.config).data
    store = run.data / f"{data.name}.zarr"
    if run.source is None or is_prepared(store):
        return
    made = prepare(data, run.source, store, cluster)
    get_run_logger().info("%d scenes in %s", len(made.scenes), made.store)
    for scene, sentence in made.missing.items():
        get_run_logger().warning("%s: %s", scene, sentence)


@task(cache_policy=NO_CACHE, persist_result=False, retry_condition_fn=_may_pass)
def train_on_cluster(run: TrainingRun, cluster: ClusterExecutor) -> Path:
    """Train, or go on with a training that was interrupted."""
    logger = get_run_logger()

    def tell(record: dict[str, Any]) -> None:
        if record["kind"] == "epoch":
            logger.info("epoch %d: score %.4f", record["epoch"], record["score"])

    options = Launch(min_workers=run.min_workers, max_restarts=run.max_restarts)
    return launch(run.config, run.out, run.data, cluster, options, resume=True, report=tell)


@task(cache_policy=NO_CACHE, persist_result=False)
def evaluate(run: TrainingRun, checkpoint: Path) -> tuple[Scores, Scores | None]:
    """Score the new model, and the one that stands, on the same split: the test, or without one the validation."""
    splits = evaluate_checkpoint(checkpoint, run.data)
    split = "test" if "test" in splits else "validation"
    lines = [f"# {run.name}: {split} split", *_tables(splits[split])]
    standing = None
    if _registered(run).exists():
        standing = _standing(run, split)
        lines += ["", "# what stands", *_tables(standing)]
    create_markdown_artifact("\n".join(lines), key="metrics", description=f"{run.name} on its {split} split")
    return splits[split], standing


def _standing(run: TrainingRun, split: str) -> Scores:
    """Score the model that stands; raise an `InputError` if it cannot be compared."""
    try:
        return evaluate_checkpoint(_registered(run), run.data)[split]
    except (RsmtlError, KeyError) as error:
        raise InputError(
            f"{_registered(run)} cannot be compared with the new model ({error}): register under "
            "another name, or remove it"
        ) from error


@task(cache_policy=NO_CACHE, persist_result=False)
def register(run: TrainingRun, checkpoint: Path, found: Scores, standing: Scores | None) -> Registered:
    """Put the model with its card in place of the one that stands, if it is better."""
    better = standing is None or validation_score(found) > validation_score(standing)
    model = _registered(run)
    if better:
        with replacing(model.with_suffix(".md")) as part:
            part.write_text(describe(read_card(checkpoint), run.name))
        with replacing(model) as part:
            shutil.copyfile(checkpoint, part)
    get_run_logger().info("%s %s", model, "is the new model" if better else "stays: the new one is no better")
    return Registered(checkpoint=checkpoint, model=model, better=better, scores=found)


def _registered(run: TrainingRun) -> Path:
    return run.models / f"{run.name}.safetensors"


def _tables(scores: Scores) -> list[str]:
    return [line for head, found in scores.items() for line in ("", f"## {head}", "", *scores_table(found))]


def _about(field: str, **how: Any) -> Any:
    return typer.Option(help=TrainingRun.model_fields[field].description, **how)


def main(
    config: Annotated[str, typer.Argument(help=TrainingRun.model_fields["config"].description)],
    data: Annotated[Path, _about("data", metavar="DIR")],
    out: Annotated[Path, _about("out", metavar="DIR")],
    models: Annotated[Path, _about("models", metavar="DIR")],
    name: Annotated[str, _about("name")],
    source: Annotated[Path | None, _about("source", metavar="DIR")] = None,
    workers: Annotated[int | None, _about("workers", metavar="N")] = None,
    scheduler: Annotated[str | None, _about("scheduler", metavar="ADDRESS")] = None,
    min_workers: Annotated[int, _about("min_workers", metavar="N")] = 1,
    max_restarts: Annotated[int, _about("max_restarts", metavar="N")] = 3,
    retries: Annotated[int, _about("retries")] = 2,
    retry_delay_s: Annotated[float, _about("retry_delay_s")] = 30.0,
) -> int:
    """Prepare data, train, evaluate and register a model, as a Prefect flow."""
    try:
        run = TrainingRun(
            config=str(Path(config).absolute()) if Path(config).is_file() else config,
            data=data.absolute(),
            source=source.absolute() if source else None,
            out=out.absolute(),
            models=models.absolute(),
            name=name,
            workers=workers,
            scheduler=scheduler,
            min_workers=min_workers,
            max_restarts=max_restarts,
            retries=retries,
            retry_delay_s=retry_delay_s,
        )
    except ValidationError as error:
        raise InputError(f"the options are wrong: {explain(error)}") from error
    with embedded_server(run.models / ".prefect"):
        return outcome(train_model(run, return_state=True))


if __name__ == "__main__":
    sys.exit(run_command(main))
