"""`evaluate`: metrics of a product, chunk by chunk on whatever runs jobs, and exactly those of the whole scene.

A job reads the rectangle that it owns and the context that its metrics' windows reach into, and answers with sums.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from rsmtl.engine.classical import METHODS
from rsmtl.engine.executor import Executor, SerialExecutor, in_order
from rsmtl.engine.fused import check_unchanged, fused_head, no_reference_job, on_their_own_grids, pan_ms_ratio
from rsmtl.engine.truth import (
    IGNORED,
    Judged,
    Rectangle,
    colors_job,
    ends_job,
    has_colors,
    ignored_job,
    judge,
    measure_job,
    stored_spec,
    with_colors,
    with_range_of_truth,
)
from rsmtl.errors import InputError
from rsmtl.metrics import Metric, NoReference, Psnr, Result, Sums
from rsmtl.models.spec import ModelSpec
from rsmtl.scene.open import Source, open_truth, reopen
from rsmtl.store.place import Place
from rsmtl.store.provenance import Run, read_run


@dataclass(frozen=True)
class Evaluation:
    """What a product is worth."""

    folder: Place
    results: dict[str, Result]
    """By head."""
    sums: dict[str, tuple[Sums, ...]]
    """By head, of each of its metrics; those of several scenes add up to what they are worth together."""
    notes: tuple[str, ...] = ()
    """Sentences on what should be known of the truth: labels that do not count, and how a colour table was read."""


def evaluate(
    folder: Place,
    truth: Source | Mapping[str, Source] | None = None,
    *,
    without: tuple[str, ...] = (),
    executor: Executor | None = None,
) -> Evaluation:
    """Measure a finished product against truth, or a pansharpened one without.

    Class maps get their confusion matrix and what follows from it; continuous heads PSNR, SSIM, Q, Q2ⁿ, SAM, ERGAS and
    SCC in physical values, those in a unit of their own PSNR and SSIM. A pansharpened head needs no truth for QNR, HQNR
    and what they are made of.

    PSNR and SSIM refer to a range of values, given with them as `data_range`: that of the model's radiometry, or, as
    classical methods and heads in a unit of their own have none, that of the truth, for whole numbers by its bits (2047
    for 11), of heights and the like from the least to the greatest. ERGAS refers to the GSDs
    of the scene as it was delivered.

    Parameters
    ----------
    folder
        Of one product.
    truth
        A raster, Zarr store or STAC item on the very grid of the product's head, or one for each head by name; alone it
        is for the head whose scale and bands it fits, one band for class maps first. Classes are numbers from 0 on, in
        one band, or the classes' colours in three or in a colour table. 255, what is nodata or masked, and other
        colours (a quarter of the pixels at most; `notes` tells) do not count. None measures a pansharpened head without
        a reference.
    without
        Classes that a second mean IoU leaves out, such as clutter.
    executor
        Who runs the jobs; this thread unless said.

    Raises
    ------
    InputError
        If there is no product, no head for the truth, another grid, or labels that are no classes of the head, by
        number or, of more than a quarter of the pixels, by colour; without truth, if the scene has changed since.
    """
    executor = executor or SerialExecutor()
    run = read_run(folder)
    spec = stored_spec(run)
    if truth is None:
        if without:
            raise InputError(
                "classes can be left out of a comparison with truth only: give the truth, or no classes"
            )
        return _without_reference(folder, run, spec, executor)
    given: dict[Any, Any] = dict(truth) if isinstance(truth, Mapping) else {None: truth}
    all_judged = [judge(folder, run, spec, name, open_truth(one), without) for name, one in given.items()]
    if without and not any(judged.head.kind == "classes" for judged in all_judged):
        heads = ", ".join(judged.head.name for judged in all_judged)
        raise InputError(
            f"classes can be left out of a class map only, the truth is that of {heads}: leave none out"
        )
    sums, results = {}, {}
    notes: list[str] = []
    for one in all_judged:
        judged, said = _with_colors(_with_range(one, run, executor), run, executor)
        found = _add_up(judged, run, executor)
        _check_counted(judged, found, run, executor)
        sums[judged.head.name] = found
        results[judged.head.name] = _merged(judged.metrics, found)
        if judged.by_color:
            results[judged.head.name]["n_px_unlabelled"] = judged.n_unlabelled
        notes += said
    return Evaluation(folder, results, sums, tuple(notes))


def _over_truth(job: Callable[..., Any], judged: Judged, run: Run, executor: Executor) -> list[Any]:
    """What a job says of each rectangle of the truth."""
    shared = executor.share(judged)
    return list(in_order(executor, job, ((shared, read) for read, _, _ in _truth_rectangles(judged, run))))


def _with_range(judged: Judged, run: Run, executor: Executor) -> Judged:
    """Take the range of values from the truth where the model knows none: a classical method, a head like no input."""
    if judged.head.kind == "classes" or (run.model_source not in METHODS and judged.head.like):
        return judged
    least, greatest = zip(*_over_truth(ends_job, judged, run, executor), strict=True)
    return with_range_of_truth(judged, min(least), max(greatest))


def _with_colors(judged: Judged, run: Run, executor: Executor) -> tuple[Judged, tuple[str, ...]]:
    """Find out whether labels are colours, and what to say of it."""
    if not has_colors(judged):
        return judged, ()
    return with_colors(judged, _over_truth(colors_job, judged, run, executor))


def _check_counted(judged: Judged, sums: tuple[Sums, ...], run: Run, executor: Executor) -> None:
    """Refuse a mask of 0 and 255, whose foreground would not count."""
    if judged.head.kind != "classes" or not sums[0][0].any() or sums[0][1:].any():
        return
    if len(judged.truth.bands) == 1 and sum(_over_truth(ignored_job, judged, run, executor)):
        raise InputError(
            f"the truth of {judged.head.name!r} has no labels but 0 and {IGNORED}, which does not count: number its "
            f"classes from 0 on, or name {IGNORED} as the file's nodata value if it is meant so"
        )


def _truth_rectangles(judged: Judged, run: Run) -> Iterator[tuple[Rectangle, Rectangle, tuple[int, int]]]:
    height, width = judged.truth.geobox.shape
    context = max(metric.context_px for metric in judged.metrics)
    return _rectangles(height, width, int(run.chunk_px * judged.head.scale), 0, context)


def _add_up(judged: Judged, run: Run, executor: Executor) -> tuple[Sums, ...]:
    shared = executor.share(judged)
    jobs = in_order(executor, measure_job, ((shared, *one) for one in _truth_rectangles(judged, run)))
    return _summed(jobs)


def _rectangles(
    height: int, width: int, edge: int, before: int, after: int
) -> Iterator[tuple[Rectangle, Rectangle, tuple[int, int]]]:
    """Yield what each job reads, where in that the part lies that it owns, and where this begins in the scene."""
    for y, x in product(range(0, height, edge), range(0, width, edge)):
        read, own = [], []
        for start, length in ((y, height), (x, width)):
            stop, first = min(start + edge, length), max(0, start - before)
            read.append(slice(first, min(stop + after, length)))
            own.append(slice(start - first, stop - first))
        yield (read[0], read[1]), (own[0], own[1]), (y, x)


def _summed(jobs: Iterator[tuple[Sums, ...]]) -> tuple[Sums, ...]:
    total = next(jobs)
    for found in jobs:
        total = tuple(a + b for a, b in zip(total, found, strict=True))
    return total


def _merged(metrics: tuple[Metric, ...], sums: tuple[Sums, ...]) -> Result:
    merged: Result = {}
    for metric, found in zip(metrics, sums, strict=True):
        merged |= metric.result(found)
        if isinstance(metric, Psnr):
            merged["data_range"] = metric.data_range
    return merged


def _without_reference(folder: Place, run: Run, spec: ModelSpec, executor: Executor) -> Evaluation:
    name = fused_head(spec, folder).name
    scene = reopen(run.opened_with)
    check_unchanged(run, scene)
    metric = NoReference(pan_ms_ratio(scene))
    pair = on_their_own_grids(scene, metric.ratio)
    height, width = (size // metric.ratio for size in pair.inputs["pan"].geobox.shape)
    if not height or not width:
        raise InputError(
            f"quality without truth needs a whole MS pixel at least, PAN of scene {scene.id!r} is smaller than one: "
            "say with --truth what the result should be"
        )
    rectangles = _rectangles(height, width, max(1, run.chunk_px // metric.ratio), *metric.context_px)
    shared = executor.share(pair)
    jobs = ((folder, name, shared, metric, *rectangle) for rectangle in rectangles)
    sums = _summed(in_order(executor, no_reference_job, jobs))
    return Evaluation(folder, {name: metric.result(sums[0])}, {name: sums})
