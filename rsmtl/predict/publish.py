"""From a finished Zarr store to a whole product: COGs, quicklook, `run.json`, and the item last."""

import time
from collections import Counter
from concurrent.futures import Future
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import xarray as xr

from rsmtl.predict.executor import Executor
from rsmtl.predict.plan import Plan
from rsmtl.store.cog import write_cog
from rsmtl.store.folder import cog_path
from rsmtl.store.item import write_item
from rsmtl.store.ledger import Ledger
from rsmtl.store.output import Output
from rsmtl.store.provenance import InputRun, Run, Source, software, write_run
from rsmtl.store.quicklook import write_quicklook
from rsmtl.store.zarr import open_product


def publish(plan: Plan, folder: Path, fingerprint: str, executor: Executor, started: datetime) -> None:
    """Write everything of a product but its pixels; `item.json` comes last, and only if all the rest stands.

    Raises
    ------
    RunError
        If something cannot be written.
    """
    jobs: list[Future[float]] = [executor.submit(cog_job, folder, output) for output in plan.outputs]
    seconds = {"cog": sum(job.result() for job in jobs)}
    seconds["quicklook"] = executor.submit(quicklook_job, executor.share(plan), folder).result()
    run = _run(plan, folder, fingerprint, seconds, started)
    write_run(folder, run)
    write_item(folder, run, plan.outputs, plan.geobox, plan.scene.properties)


def cog_job(folder: Path, output: Output) -> float:
    """Write the COG of an output from the store; returns seconds."""
    start = time.perf_counter()
    write_cog(
        _stored(folder, output.name),
        cog_path(folder, output.name),
        nodata=output.nodata,
        bands=output.bands,
        classes=output.classes,
        band_scale=output.band_scale,
        band_offset=output.band_offset,
    )
    return time.perf_counter() - start
