"""Deployments on a real server with a real worker: runs by schedule, cancelled, and without their server."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    DeploymentFilter,
    DeploymentFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.exceptions import PrefectHTTPStatusError

from flows.process_catalogue import CatalogueRun
from flows.train_model import TrainingRun
from rsmtl.config import Settings
from rsmtl.engine.product import write
from rsmtl.models.checkpoint import load_model
from rsmtl.scene.open import open_scene, scene_refs
from rsmtl.store.folder import ITEM_NAME
from rsmtl.synthetic.catalogue import write_catalogue
from tests.chaos.products import contents
from tests.flows import witness
from tests.flows.prefect_site import PrefectSite, until

SETTINGS = Settings(window=64, overlap=16, chunk=1)
N_SCENES = 12
BEGUN = (StateType.PENDING, StateType.RUNNING)
ENDED = (StateType.COMPLETED, StateType.FAILED, StateType.CRASHED)

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_catalogue(tmp_path_factory.mktemp("catalogue"), n_scenes=N_SCENES, size_px=128, seed=3)


@pytest.fixture(scope="module")
def expected(
    catalogue: Path, model_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, str]]:
    """What the scenes' products are, made without a flow."""
    out, model = tmp_path_factory.mktemp("expected"), load_model(model_path)
    for ref in scene_refs(catalogue):
        write(open_scene(ref.source, ["hrms"]), model, out, SETTINGS)
    return products_in(out)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectSite]:
    """What the README says to start, in its order."""
    folder = tmp_path_factory.mktemp("site")
    seen = folder / "witness"
    seen.mkdir()
    surroundings = {witness.FOLDER: str(seen), "DASK_DISTRIBUTED__WORKER__PRELOAD": witness.__file__}
    site = PrefectSite(folder, **surroundings)
    try:
        site.start_server()
        site.run("work-pool", "create", "rsmtl", "--type", "process")
        site.run("--no-prompt", "deploy", "--all", "--prefect-file", "flows/prefect.yaml")
        site.start_worker("rsmtl")
        yield site
        found = {file.read_text() for file in seen.iterdir()}
        assert found <= {"False"}, "a Dask worker imported Prefect"
    finally:
        site.end()


@pytest.fixture
def run(catalogue: Path, model_path: Path, tmp_path: Path) -> CatalogueRun:
    return CatalogueRun(
        catalogue=str(catalogue),
        model=str(model_path),
        out=str(tmp_path / "products"),
        assets=["hrms"],
        settings=SETTINGS,
        workers=1,
    )


def products_in(folder: Path) -> dict[str, dict[str, str]]:
    """The products that are complete, by scene."""
    return {item.parent.name: contents(item.parent) for item in folder.glob(f"*/{ITEM_NAME}")}


def items_in(run: CatalogueRun, at_least: int) -> Callable[[], bool]:
    return lambda: len(list(Path(run.out).glob(f"*/{ITEM_NAME}"))) >= at_least


def by_hand(site: PrefectSite, run: CatalogueRun) -> UUID:
    """Start the backfill."""
    told = f"run={run.model_dump_json(exclude_defaults=True)}"
    said = site.run("deployment", "run", "process-catalogue/backfill", "--param", told)
    return UUID(said.split("UUID: ")[1].split()[0])


def in_state(site: PrefectSite, run_id: UUID, name: str) -> Callable[[], FlowRun | None]:
    def read() -> FlowRun | None:
        with site.client() as client:
            found = client.read_flow_run(run_id)
        assert found.state_name not in {"Failed", "Crashed", "Completed"} - {name}, found.state
        return found if found.state_name == name else None

    return read


def table_of(site: PrefectSite, run_id: UUID) -> str:
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
    with site.client() as client:
        (artifact,) = client.read_artifacts(artifact_filter=of_run)
    return str(artifact.data)


def deployed(site: PrefectSite, name: str) -> DeploymentResponse:
    named = DeploymentFilter(name=DeploymentFilterName(any_=[name]))
    with site.client() as client:
        (found,) = client.read_deployments(deployment_filter=named)
    return found


def deleted(site: PrefectSite, deployment: UUID, schedule: UUID) -> bool:
    """Delete a schedule, if the server's database is not busy with what has begun."""
    try:
        with site.client() as client:
            client.delete_deployment_schedule(deployment, schedule)
    except PrefectHTTPStatusError as error:
        if error.response.status_code != 503:
            raise
        return False
    return True


def scheduled(site: PrefectSite, run: CatalogueRun) -> FlowRun:
    """Let a schedule of the nightly deployment start one run, and return it when it has ended."""
    nightly = deployed(site, "nightly").id
    before = len(site.runs(nightly, *ENDED))
    often = DeploymentScheduleCreate(
        schedule=IntervalSchedule(interval=timedelta(seconds=15), anchor_date=datetime.now(UTC)),
        parameters={"run": run.model_dump(mode="json", exclude_defaults=True)},
    )
    with site.client() as client:
        (schedule,) = client.create_deployment_schedules(nightly, [often])
    until(lambda: site.runs(nightly, *ENDED, *BEGUN)[before:], 120, "a scheduled run has begun")
    until(
        partial(deleted, site, nightly, schedule.id), 120, "the schedule is deleted"
    )  # with all that has not begun
    return until(lambda: site.runs(nightly, *ENDED)[before:], 120, "the scheduled run has ended")[0]


def test_the_deployments_are_those_of_the_file(site: PrefectSite) -> None:
    nightly, backfill, train = (deployed(site, name) for name in ("nightly", "backfill", "train"))
    assert [one.schedule for one in nightly.schedules] == [CronSchedule(cron="0 2 * * *", timezone="UTC")]
    assert backfill.schedules == train.schedules == []
    for found in (nightly, backfill, train):
        assert found.global_concurrency_limit.limit == 1
        assert found.concurrency_options.collision_strategy == "ENQUEUE"
        assert found.work_pool_name == "rsmtl"
    assert not CatalogueRun.model_validate(nightly.parameters["run"]).search.bounded
    assert CatalogueRun.model_validate(backfill.parameters["run"]).search.bounded
    assert TrainingRun.model_validate(train.parameters["run"]).name == "urec-dubai"


def test_a_night_makes_the_products_and_the_next_finds_them(
    site: PrefectSite, run: CatalogueRun, expected: dict[str, dict[str, str]]
) -> None:
    first = scheduled(site, run)
    made = products_in(Path(run.out))
    second = scheduled(site, run)

    assert [first.state_name, second.state_name] == ["Completed", "Completed"], [first.state, second.state]
    assert first.auto_scheduled
    assert second.auto_scheduled
    assert made == expected
    assert f"{N_SCENES} written" in table_of(site, first.id)
    assert f"{N_SCENES} stood already" in table_of(site, second.id)
    assert products_in(Path(run.out)) == expected
    assert list((site.folder / "witness").iterdir()), "no Dask worker said whether it imported Prefect"


def test_a_run_that_is_cancelled_is_taken_up_by_one_that_loses_its_server(
    site: PrefectSite, run: CatalogueRun, expected: dict[str, dict[str, str]]
) -> None:
    cancelled = by_hand(site, run)
    until(items_in(run, 1), 120, "the first product stands")
    with site.client() as client:  # at once, where the command would take seconds to begin
        client.set_flow_run_state(cancelled, State(type=StateType.CANCELLING))
    until(in_state(site, cancelled, "Cancelled"), 120, "the run is cancelled")
    until(lambda: len(site.processes.alive()) == 2, 60, "only server and worker are left")
    standing = len(products_in(Path(run.out)))
    assert standing < N_SCENES

    bereft = by_hand(site, run)
    until(items_in(run, standing + 1), 120, "the next product stands")
    site.kill_server()
    until(items_in(run, N_SCENES), 60, "all products stand, without a server")
    site.start_server()
    until(in_state(site, bereft, "Completed"), 120, "the run is completed")

    assert products_in(Path(run.out)) == expected
    assert f"{standing} stood already, {N_SCENES - standing} written" in table_of(site, bereft)
