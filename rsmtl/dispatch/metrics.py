"""What a worker has done, for Prometheus: Dask serves it at the worker's `/metrics` beside its own figures.

There is no label for scenes: each value of a label is a series that Prometheus keeps for ever.
"""

from typing import Literal

from prometheus_client import Counter, Histogram

from rsmtl.engine.jobs import Receipt

Outcome = Literal["done", "stood", "failed"]

JOBS = Counter(
    "rsmtl_jobs",
    "Jobs ended. `stood`: given out again after a worker was lost, its result was there already.",
    ("job", "outcome"),
)
JOB_SECONDS = Histogram(
    "rsmtl_job_seconds",
    "Duration of jobs.",
    ("job",),
    buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000),
)
WINDOWS = Counter("rsmtl_windows", "Windows run through the model.")
CHUNKS = Counter("rsmtl_chunks", "Chunks finished: their shards stand.")
PIXELS = Counter("rsmtl_pixels", "Reference pixels of the chunks finished.")
WRITTEN_BYTES = Counter("rsmtl_written_bytes", "Bytes of the shards written, before compression.")
STAGE_SECONDS = Counter("rsmtl_stage_seconds", "Time spent on chunks, by stage.", ("stage",))


def observe(job: str, seconds: float, result: object = None, *, failed: bool = False) -> None:
    """Count a job that has ended in this process.

    Parameters
    ----------
    job
        Name of its function.
    result
        What it returned; of jobs that work on chunks a `Receipt`.
    failed
        Whether it raised an error instead.
    """
    outcome: Outcome = "failed" if failed else "done"
    if isinstance(result, Receipt):
        outcome = "done" if result.span else "stood"
        _count(result)
    JOBS.labels(job, outcome).inc()
    JOB_SECONDS.labels(job).observe(seconds)


def _count(receipt: Receipt) -> None:
    WINDOWS.inc(receipt.windows_run)
    CHUNKS.inc(receipt.finished and receipt.px > 0)
    PIXELS.inc(receipt.px)
    WRITTEN_BYTES.inc(receipt.written_bytes)
    for stage, seconds in (receipt.span.seconds if receipt.span else {}).items():
        STAGE_SECONDS.labels(stage).inc(max(0.0, seconds))
