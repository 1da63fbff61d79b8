"""From a finished Zarr store to a whole product: COGs, quicklook, `run.json`, and the item last."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime

import xarray as xr

from rsmtl.engine.executor import Executor
from rsmtl.engine.pictured import look_of
from rsmtl.engine.plan import Plan
from rsmtl.errors import RsmtlError, RunError
from rsmtl.models.checkpoint import locate
from rsmtl.redaction import redacted, redacted_value
from rsmtl.scene.sources import check_all_unchanged
from rsmtl.store.claim import Check
from rsmtl.store.cog import write_cog
from rsmtl.store.folder import cog_path
from rsmtl.store.item import write_item
from rsmtl.store.ledger import Ledger
from rsmtl.store.output import Output
from rsmtl.store.place import Place, sweep
from rsmtl.store.provenance import InputRun, Run, Source, software, write_run
from rsmtl.store.quicklook import write_quicklook
from rsmtl.store.zarr import open_product


def publish(plan: Plan, folder: Place, executor: Executor, started: datetime, check_claim: Check) -> None:
    """Write everything of a product but its pixels; `item.json` comes last, and only if all the rest stands.

    Raises
    ------
    RunError
        If something cannot be written, another run has taken over, or an input has changed.
    """
    Ledger(folder, plan.run).check_current()
    files = [output for output in plan.outputs if not output.mask_of]  # a mask is in the file of its values
    jobs: list[Future[float]] = [executor.submit(cog_job, folder, output) for output in files]
    seconds = {"cog": sum(job.result() for job in jobs)}
    seconds["quicklook"] = executor.submit(quicklook_job, executor.share(plan), folder).result()
    sweep(folder)  # what workers left that were killed while they wrote
    check_all_unchanged(plan.scene.sources)
    check_claim()
    Ledger(folder, plan.run).check_current()
    run = _run(plan, folder, seconds, started)
    write_run(folder, run)
    write_item(folder, run, plan.outputs, plan.geobox, plan.scene.properties)


def cog_job(folder: Place, output: Output) -> float:
    """Write the COG of an output from the store; returns seconds."""
    start = time.perf_counter()
    with _mendable(folder):
        write_cog(
            _stored(folder, output.name),
            cog_path(folder, output.name),
            nodata=output.nodata,
            mask=_stored(folder, output.mask) if output.mask else None,
            bands=output.bands,
            classes=output.classes,
            band_scale=output.band_scale,
            band_offset=output.band_offset,
            unit=output.unit,
        )
    return time.perf_counter() - start


def quicklook_job(plan: Plan, folder: Place) -> float:
    """Draw the scene and its heads; returns seconds."""
    start = time.perf_counter()
    with _mendable(folder):
        write_quicklook(folder, look_of(plan, folder), plan.outputs)
    return time.perf_counter() - start


@contextmanager
def _mendable(folder: Place) -> Iterator[None]:
    """Turn what a damaged shard or picture leads its reader to into a `RunError`: taken up again, the run mends it."""
    try:
        yield
    except (RsmtlError, MemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise RunError(
            f"what stands in {folder} cannot be read ({reason}): finish with --resume, which mends it"
        ) from error


def _stored(folder: Place, name: str) -> xr.DataArray:
    return next(group[name] for group in open_product(folder).values() if name in group)


def _run(plan: Plan, folder: Place, seconds: dict[str, float], started: datetime) -> Run:
    """Gather the record of the run; counts and seconds are those of all calls that made the product."""
    done = Ledger(folder, plan.run).done()
    missing = set(plan.chunks) - done.keys()
    if missing:
        raise RunError(
            f"{len(missing)} chunks of {folder} have lost their marks: something else worked on it too; finish with "
            "--resume"
        )
    records = done.values()
    total: Counter[str] = Counter()
    for span in (span for record in records for span in record.spans):
        total.update(span.seconds)
    total.update(seconds)
    model, spec = plan.model, plan.model.spec
    return Run(
        scene_id=plan.scene.id,
        opened_with=redacted_value(plan.scene.opened_with),
        derived_from=redacted(plan.scene.item_href),
        fingerprint=plan.run,
        model_source=model.source or model.fitted,
        model_href=str(locate(model.source)) if model.source else "",
        model_sha256=model.sha256,
        model_spec=spec.model_dump(mode="json"),
        settings=plan.settings.model_dump(mode="json"),
        inputs={
            name: InputRun(
                bands=found.bands,
                alignment=found.alignment,
                radiometry=plan.radiometry[name].model_dump(mode="json"),
                delivered_scale=plan.delivered_scales[name],
            )
            for name, found in plan.scene.inputs.items()
        },
        sources=tuple(Source(**redacted_value(asdict(source))) for source in plan.scene.sources),
        shape_px=(plan.lattice.height, plan.lattice.width),
        chunk_px=plan.lattice.y.chunk_px,
        n_chunks=len(plan.chunks),
        windows_run=sum(record.windows_run for record in records),
        windows_skipped=sum(record.windows_skipped for record in records),
        seconds={stage: round(spent, 3) for stage, spent in total.items()},
        started=started.isoformat(timespec="milliseconds"),
        finished=datetime.now(UTC).isoformat(timespec="milliseconds"),
        software=software(),
    )
