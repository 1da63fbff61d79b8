"""The flow from data to a registered model: real server, real cluster, real ranks."""

from datetime import datetime
from pathlib import Path

import pytest
from distributed import LocalCluster
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from flows.train_model import Registered, TrainingRun, train_model
from rsmtl.dispatch.forked import forked_workers
from rsmtl.errors import InputError, RunError
from rsmtl.models import load_model
from tests.datasets.dubai_fake import write_fake_dubai
from tests.training.configs import tiny

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.fixture
def run(tmp_path: Path, prefect_server: None) -> TrainingRun:
    write_fake_dubai(tmp_path / "raw")
    tiny(tmp_path / "config.yaml", data={"name": "dubai"}, epochs=1)
    return TrainingRun(
        config=str(tmp_path / "config.yaml"),
        data=tmp_path / "data",
        source=tmp_path / "raw",
        out=tmp_path / "run",
        models=tmp_path / "models",
        name="small",
        workers=2,
        retries=0,
    )


def metrics() -> str:
    with get_client(sync_client=True) as client:
        key = ArtifactFilter(key=ArtifactFilterKey(any_=["metrics"]))
        found = client.read_artifacts(artifact_filter=key)
    return str(max(found, key=lambda artifact: artifact.created or datetime.min).data)


def test_prepare_train_evaluate_register(run: TrainingRun) -> None:
    found = train_model(run)
    assert isinstance(found, Registered)
    assert found.better
    assert found.model == run.models / "small.safetensors"
    assert load_model(found.model).spec.system == "urec"
    assert found.model.read_bytes() == found.checkpoint.read_bytes()
    assert (run.data / "dubai.zarr" / "zarr.json").exists()
    card = (run.models / "small.md").read_text()
    assert "# small" in card
    assert "## Scores: test, segmentation" in card
    assert "| building |" in card
    assert "test split" in metrics()

    # given again, nothing is done twice, and what is no better is not registered
    before = found.model.stat().st_mtime_ns
    again = train_model(run)
    assert isinstance(again, Registered)
    assert not again.better
    assert again.scores == found.scores
    assert "what stands" in metrics()
    assert found.model.stat().st_mtime_ns == before


def test_wrong_data_fail_with_their_sentence(run: TrainingRun, tmp_path: Path) -> None:
    nothing = run.model_copy(update={"source": None, "out": tmp_path / "other"})
    state = train_model(nothing, return_state=True)
    assert state.is_failed()
    assert isinstance(state.result(raise_on_failure=False), InputError)
    assert "there are no images in" in str(state.message)


def test_a_training_that_always_fails_says_why(run: TrainingRun, tmp_path: Path) -> None:
    tiny(tmp_path / "config.yaml", data={"name": "dubai"}, optimizer={"lr": 1e30})
    with (
        forked_workers(),
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
    ):
        failing = run.model_copy(
            update={
                "workers": None,
                "scheduler": cluster.scheduler_address,
                "max_restarts": 0,
                "out": tmp_path / "bad",
            }
        )
        state = train_model(failing, return_state=True)
    assert isinstance(state.result(raise_on_failure=False), RunError)
    assert "the loss is not finite in step" in str(state.message)


def test_names_stay_in_their_folder(run: TrainingRun) -> None:
    with pytest.raises(ValueError, match="String should match pattern"):
        TrainingRun.model_validate({**run.model_dump(), "name": "../elsewhere"})
