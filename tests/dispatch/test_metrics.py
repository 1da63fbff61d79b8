"""What a worker's `/metrics` says, read over the network, is what the run itself says it did."""

import logging
import os
import queue
import signal
import urllib.request
from collections import Counter
from logging.handlers import QueueHandler
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rsmtl.config import Settings
from rsmtl.dispatch import ClusterExecutor, local_cluster
from rsmtl.dispatch.executors import workers_of
from rsmtl.engine.jobs import Receipt
from rsmtl.engine.product import write
from rsmtl.errors import SceneError
from rsmtl.scene.open import open_scene
from rsmtl.store.ledger import Ledger
from rsmtl.store.provenance import read_run
from tests import fakes

pytestmark = pytest.mark.cluster


def scraped(cluster: ClusterExecutor) -> Counter[tuple[str, ...]]:
    """Our samples by name and values of labels, summed over all workers."""
    found: Counter[tuple[str, ...]] = Counter()
    for address, worker in workers_of(cluster.client).items():
        host, port = address.split("://")[1].rsplit(":", 1)[0], worker["services"]["dashboard"]
        with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=20) as answer:
            for family in text_string_to_metric_families(answer.read().decode()):
                for sample in family.samples:
                    if sample.name.startswith("rsmtl_"):
                        found[sample.name, *sample.labels.values()] += sample.value
    return found


def refuse() -> None:
    raise SceneError("there is no such scene: give another")


def test_the_figures_are_those_of_the_run(tmp_path: Path) -> None:
    scene = open_scene(fakes.ragged_tiff(tmp_path / "ragged.tif", 500, 600))
    settings = Settings(window=128, overlap=32, chunk=2, heads=fakes.UREC_HEADS)
    with local_cluster(2) as cluster:
        product = write(scene, fakes.random_urec(high=2047.0), tmp_path / "out", settings, executor=cluster)
        with pytest.raises(SceneError):
            cluster.submit(refuse).result()
        found = scraped(cluster)
    run, records = read_run(product.folder), Ledger(product.folder).done()
    assert found["rsmtl_windows_total",] == run.windows_run == product.windows_run
    assert found["rsmtl_chunks_total",] == run.n_chunks == len(records)
    assert found["rsmtl_pixels_total",] == 500 * 600
    assert found["rsmtl_written_bytes_total",] == 500 * 600 * (1 + 3 * 2)  # classes; three bands of 16 bits
    for stage in ("read", "model", "blend", "finalise", "finish"):
        assert found["rsmtl_stage_seconds_total", stage] == pytest.approx(run.seconds[stage], abs=0.01)
    assert found["rsmtl_jobs_total", "cog_job", "done"] == found["rsmtl_job_seconds_count", "cog_job"] == 2
    assert found["rsmtl_jobs_total", "refuse", "failed"] == 1
    assert 0 < found["rsmtl_job_seconds_sum", "run_job"] < 300


def several() -> list[Receipt]:
    return [Receipt(windows_run=2, finished=True, px=7) for _ in range(3)]


def test_jobs_that_come_together_are_counted_each() -> None:
    with local_cluster(1) as cluster:
        cluster.submit(several).result()
        found = scraped(cluster)
    assert found["rsmtl_jobs_total", "several", "stood"] == found["rsmtl_job_seconds_count", "several"] == 3
    assert (found["rsmtl_windows_total",], found["rsmtl_pixels_total",]) == (6, 21)


def test_a_worker_that_is_killed_is_an_event() -> None:
    heard: queue.Queue[logging.LogRecord] = queue.Queue()
    handler, root = QueueHandler(heard), logging.getLogger("rsmtl")
    root.addHandler(handler)
    try:
        with local_cluster(1) as cluster:
            (address,) = workers_of(cluster.client)
            os.kill(cluster.submit(os.getpid).result(), signal.SIGKILL)
            record = heard.get(timeout=60)
    finally:
        root.removeHandler(handler)
    assert (record.event, record.worker, record.levelname) == ("worker lost", address, "WARNING")
    assert heard.empty()  # the end of the cluster is no loss
