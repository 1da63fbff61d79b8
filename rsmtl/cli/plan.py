"""`rsmtl plan`: what a run would do and cost, before anything runs."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from rsmtl.cli.options import (
    AllowNoCrsOption,
    AnyGsdOption,
    AssetsOption,
    JsonOption,
    ModelOption,
    OffsetOption,
    SchedulerOption,
    SourcesArgument,
    WorkersOption,
    with_search,
    with_settings,
)
from rsmtl.cli.report import Report, plain_table, printable
from rsmtl.config import Settings
from rsmtl.errors import PlanError, RsmtlError
from rsmtl.scene.search import Search

if TYPE_CHECKING:
    from rsmtl.cli.scenes import Result
    from rsmtl.engine.classical import ModelFinder
    from rsmtl.engine.cost import Cost
    from rsmtl.engine.executor import Executor
    from rsmtl.scene.open import Assets, SceneRef
    from rsmtl.scene.profiles import Offset

IN_FULL = 20
"""Scenes that have a table each; those after them have a line."""

BATCH = 32
"""Scenes of one job at most."""


@with_search
@with_settings
def plan(
    sources: SourcesArgument,
    model: ModelOption,
    settings: Settings,
    search: Search,
    assets: AssetsOption = [],  # noqa: B006  # typer copies it
    offset: OffsetOption = "item",
    any_gsd: AnyGsdOption = False,
    allow_no_crs: AllowNoCrsOption = False,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    as_json: JsonOption = False,
) -> int:
    """Print what `predict` would do and cost, and refuse what does not fit its workers; nothing is run.

    Sizes that are not given are chosen as `predict` does, and it is said why; a GPU is tried for this.

    Figures are upper bounds: windows without a valid pixel are not run.
    """
    from rsmtl.cli.scenes import FAILED, with_scenes
    from rsmtl.cli.sources import read_assets, read_offset
    from rsmtl.engine.classical import model_finder
    from rsmtl.engine.cost import check_fits
    from rsmtl.engine.device import check_device
    from rsmtl.request import take_id

    report, taken, find = Report("plan", as_json), read_assets(assets), model_finder(model)

    def project(refs: "Sequence[SceneRef]", executor: "Executor") -> "Iterator[Result]":
        device, seen = executor.submit(check_device, settings.device), dict[str, Any]()
        costs = _costs(refs, taken, find, settings, read_offset(offset), executor, any_gsd, allow_no_crs)
        for n, (ref, (name, found)) in enumerate(zip(refs, costs, strict=True)):
            try:
                if isinstance(found, RsmtlError):
                    raise found
                take_id(seen, name, ref)
            except RsmtlError as error:
                report.fail(name, error)
                yield {"scene": name, "result": FAILED}
                continue
            fits, slot_bytes = True, executor.slot_bytes
            try:
                check_fits(found, executor)
                device.result()
            except PlanError as error:
                report.fail(name, error)
                fits = False
            for note in found.notes:
                report.note(name, note)
            if n < IN_FULL:
                report.show(_facts(name, found, slot_bytes, fits))
                report.show("")
            else:
                report.show(_line(name, found, fits))
            yield {"scene": name, "result": _verdict(fits), **asdict(found), "slot_bytes": slot_bytes}

    results = with_scenes(sources, search, workers, scheduler, settings, report, project)
    if len(results) > 1:
        report.show(_total(results))
    return report.close(scenes=results)


def _costs(
    refs: "Sequence[SceneRef]",
    assets: "Assets | None",
    find: "ModelFinder",
    settings: Settings,
    offset: "Offset",
    executor: "Executor",
    any_gsd: bool,
    allow_no_crs: bool,
) -> "Iterator[tuple[str, Cost | RsmtlError]]":
    """Yield what each scene costs; of many scenes, batches are opened by the workers, and no pixel is looked at."""
    from rsmtl.engine.cost import costs_of
    from rsmtl.engine.executor import in_order

    how = (len(refs) <= IN_FULL, any_gsd, allow_no_crs)
    if len(refs) == 1:  # then the workers may be needed to fit a classical method to it
        yield from costs_of(refs, assets, find, settings, offset, executor, *how)
        return
    shared, size = executor.share(find), max(1, min(BATCH, len(refs) // (4 * executor.n_slots)))
    batches = (
        (refs[k : k + size], assets, shared, settings, offset, None, *how) for k in range(0, len(refs), size)
    )
    for costs in in_order(executor, costs_of, batches):
        yield from costs


def _verdict(fits: bool) -> str:
    return "fits" if fits else "refused"


def _line(scene: str, projected: "Cost", fits: bool) -> str:
    from rsmtl.units import size

    return (
        f"{printable(scene)}: {projected.n_windows:,} windows, {projected.n_chunks:,} chunks, "
        f"{size(projected.read_bytes)} read, {size(projected.written_bytes)} written, {_verdict(fits)}"
    )


def _facts(scene: str, projected: "Cost", slot_bytes: int, fits: bool) -> Table:
    from rsmtl.units import pixels, size

    height, width, windows = projected.height_px, projected.width_px, projected.n_windows
    table = plain_table("", "", title=printable(scene))
    table.show_header = False
    for what, figure in (
        ("size", f"{height:,} × {width:,} px, {pixels(height * width)}"),
        (
            "windows",
            f"{windows:,} of {projected.window_px} px with {projected.overlap_px} px overlap and a margin of "
            f"{projected.margin_px} px",
        ),
        ("work", f"{projected.windows_per_px:.2f} windows per pixel"),
        *_expected(projected),
        ("chunks", f"{projected.n_chunks:,} of {projected.chunk_px:,} px"),
        ("read", size(projected.read_bytes)),
        ("written", f"{size(projected.written_bytes)} before compression"),
        ("borders", f"{size(projected.border_bytes)} between chunks"),
        ("memory", f"{size(projected.worker_bytes)} of the {size(slot_bytes)} a worker has"),
        *_chosen(projected),
    ):
        table.add_row(what, figure)
    table.add_row("verdict", Text(_verdict(fits), style="green" if fits else "red"))
    return table


def _expected(projected: "Cost") -> "Iterator[tuple[str, str]]":
    """Yield how far each head is expected to be from what the model says in the middle of a window."""
    for head, found in projected.expected.items():
        what = "of the spread" if found["bias"] else "of the classes"
        told = f"{head}: {100 * found['difference']:.2f} % {what}, where the model differs from itself by "
        told += f"{100 * found['floor']:.2f} %"
        yield "deviation", told + (f"; bias {100 * found['bias']:+.2f} %" if found["bias"] else "")


def _chosen(projected: "Cost") -> "Iterator[tuple[str, str]]":
    """Yield what was left open, as it is now, and why."""
    for name, chosen in (
        ("window", f"{projected.window_px} px"),
        ("overlap", f"{projected.overlap_px} px"),
        ("margin", f"{projected.margin_px} px"),
        ("chunk", f"{projected.chunk} strides"),
        ("batch", f"{projected.batch} at once"),
    ):
        if name in projected.why:
            yield name, f"{chosen} (chosen: {projected.why[name]})"


def _total(results: list[dict[str, Any]]) -> str:
    from rsmtl.units import size

    planned = [found for found in results if "n_windows" in found]
    windows = sum(found["n_windows"] for found in planned)
    read, written = (size(sum(found[key] for found in planned)) for key in ("read_bytes", "written_bytes"))
    return f"{len(planned):,} scenes: {windows:,} windows, {read} read, {written} written"
