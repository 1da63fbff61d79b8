"""Truth for a head of a product: which head it fits, whether it lies on its grid, and what one rectangle is worth."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsmtl.config import Settings
from rsmtl.engine.colors import (
    MOST_UNLABELLED,
    NO_CLASS,
    ColorCount,
    added,
    classes_of_colors,
    count_colors,
    label_colors,
)
from rsmtl.engine.outputs import asked_heads
from rsmtl.engine.stored import physical, stored_array
from rsmtl.errors import InputError
from rsmtl.metrics import Confusion, Ergas, Metric, Part, Psnr, Q2n, QIndex, Sam, Scc, Ssim, Sums
from rsmtl.models.spec import HeadSpec, ModelSpec
from rsmtl.scene.grid import check_lies_on
from rsmtl.scene.scene import SceneInput
from rsmtl.shown import few
from rsmtl.store.place import Place
from rsmtl.store.provenance import Run

IGNORED = 255
"""A label that no metric counts, besides the truth's own nodata."""

Rectangle = tuple[slice, slice]


@dataclass(frozen=True)
class Judged:
    """A head, what it is compared with, and how."""

    folder: Place
    head: HeadSpec
    truth: SceneInput
    metrics: tuple[Metric, ...]
    by_color: bool = False
    """Whether labels are the classes' colours, not their numbers."""
    n_unlabelled: int = 0
    """Pixels of the truth whose colour is no class's, which do not count."""


def stored_spec(run: Run) -> ModelSpec:
    """Return the spec of a product's model with the heads alone that the product has."""
    spec = ModelSpec.model_validate(run.model_spec)
    return spec.model_copy(update={"heads": asked_heads(spec, Settings.model_validate(run.settings))})


def judge(
    folder: Place, run: Run, spec: ModelSpec, name: str | None, truth: SceneInput, without: tuple[str, ...]
) -> Judged:
    """Return how a head is measured against truth; the head that the truth fits unless it is named.

    Raises
    ------
    InputError
        If no head fits, the truth lies on another grid, or a class left out is none.
    """
    head = _head_for(spec, name, truth, folder)
    check_lies_on(
        "the truth", truth.geobox, f"the grid of {head.name!r}", stored_array(folder, head.name).odc.geobox
    )
    if head.kind == "classes":
        names = tuple(c.name for c in head.classes) or tuple(f"class {k}" for k in range(head.n_classes))
        unknown = [one for one in without if one not in names]
        if unknown:
            raise InputError(f"there is no class {unknown[0]!r}: the classes are {', '.join(names)}")
        return Judged(folder, head, truth, (Confusion(names, without),))
    if not head.like:
        return Judged(folder, head, truth, _value_metrics(1.0))
    radiometry = run.inputs[head.like].radiometry
    data_range = float(max(radiometry["high"]) - min(radiometry["low"]))
    return Judged(folder, head, truth, _image_metrics(data_range, _gsd_ratio(run, spec, head)))


def _image_metrics(data_range: float, ratio: Fraction) -> tuple[Metric, ...]:
    return Psnr(data_range), Ssim(data_range), QIndex(), Q2n(), Sam(), Ergas(ratio), Scc()


def _value_metrics(data_range: float) -> tuple[Metric, ...]:
    """Those that mean something of values that are no radiance."""
    return Psnr(data_range), Ssim(data_range)


def _gsd_ratio(run: Run, spec: ModelSpec, head: HeadSpec) -> Fraction:
    """h/l: the GSD of a head over that of the input it refines, as delivered or, if coarser, as the model saw it.

    Of a model that takes MS upsampled, as the classical methods do, the scale says nothing.
    """
    delivered = run.inputs[head.like].delivered_scale
    seen = Fraction(spec.input(head.like).scale)
    if delivered is not None:
        seen = min(seen, Fraction(delivered).limit_denominator(1000))
    return seen / Fraction(head.scale)


def with_range_of_truth(judged: Judged, least: float, greatest: float) -> Judged:
    """Return how a head is measured where the model knows no range of values: by that of the truth.

    Of heads in a unit of their own it is from the least to the greatest value. Of others it begins at zero: for whole
    stored numbers it is that of the fewest bits that hold the greatest (2047 for 11 bits), else the greatest.
    """
    if not judged.head.like:
        return replace(judged, metrics=_value_metrics(max(greatest - least, 0.0) or 1.0))
    storage = judged.truth.storage
    data_range = greatest = max(greatest, 0.0)
    if np.dtype(storage.dtype).kind != "f":
        scale, offset = max(storage.scale), min(storage.offset)
        data_range = (2 ** max(1, round((greatest - offset) / scale)).bit_length() - 1) * scale
    (ratio,) = (metric.ratio for metric in judged.metrics if isinstance(metric, Ergas))
    return replace(judged, metrics=_image_metrics(data_range, ratio))


def ends_job(judged: Judged, read: Rectangle) -> tuple[float, float]:
    """Return the least and the greatest value of a rectangle of the truth; infinities where none is valid."""
    truth = judged.truth.read(*read)
    known = np.isfinite(truth)
    return float(np.min(truth, initial=np.inf, where=known)), float(
        np.max(truth, initial=-np.inf, where=known)
    )


def ignored_job(judged: Judged, read: Rectangle) -> int:
    """Return how many labels of a rectangle of the truth say that they do not count."""
    return int((judged.truth.read(*read) == IGNORED).sum())


def has_colors(judged: Judged) -> bool:
    """Whether labels may be the colours of classes: they have three bands, or are indices into a colour table."""
    many = len(judged.truth.bands) > 1 or bool(judged.truth.palette)
    return judged.head.kind == "classes" and bool(judged.head.classes) and many


def colors_job(judged: Judged, read: Rectangle) -> ColorCount:
    """Return how many pixels of a rectangle of the truth have colours of classes."""
    truth = judged.truth.read(*read)
    known = np.asarray(np.isfinite(truth).all(axis=0))
    values = np.where(known, truth, IGNORED).astype(np.int64)
    if len(values) == 1:
        known &= values[0] != IGNORED
    return count_colors(values, known, judged.truth.palette, judged.head.classes)


def with_colors(judged: Judged, counts: Iterable[ColorCount]) -> tuple[Judged, tuple[str, ...]]:
    """Return how labels are read, and sentences on it. Colours of classes outrank numbers, of which a colour table is.

    Raises
    ------
    InputError
        If labels of three bands have too many colours of no class.
    """
    found, name = added(counts), judged.head.name
    stray = "" if found.stray is None else _hex(found.stray)
    if not found.are_labels:
        if judged.truth.palette:
            return judged, (
                f"the labels of {name!r} are read as class numbers: {found.share} have a colour that is no class's, "
                f"such as {stray}, in the truth's colour table",
            )
        classes = judged.head.classes
        meant = few(tuple(f"{one.name} {_hex(one.mask_color or one.color)}" for one in classes))
        raise InputError(
            f"{found.share} of the truth of {name!r} have a colour that is no class's, such as {stray}; up to "
            f"{MOST_UNLABELLED:.0%} may, which then do not count: give class numbers, with {IGNORED} for what has no "
            f"label, or the classes' colours ({meant if label_colors(classes) else 'several of which have one'})"
        )
    notes = []
    if found.n_other:
        notes.append(
            f"the labels of {name!r} are read by the colours of the truth's colour table, not as class numbers: they "
            f"disagree in {found.n_other:,} pixels"
        )
    if found.n_no_class:
        notes.append(
            f"{found.share} ({found.n_no_class:,}) of the truth of {name!r} have a colour that is no class's, such as "
            f"{stray}, and do not count"
        )
    return replace(judged, by_color=True, n_unlabelled=found.n_no_class), tuple(notes)


def _hex(color: tuple[int, int, int]) -> str:
    return "#{:02X}{:02X}{:02X}".format(*color)


def _head_for(spec: ModelSpec, name: str | None, truth: SceneInput, folder: Place) -> HeadSpec:
    if name is not None:
        if name not in {head.name for head in spec.heads}:
            heads = ", ".join(head.name for head in spec.heads)
            raise InputError(f"there is no head {name!r} in {folder}: its heads are {heads}")
        head = spec.head(name)
        if len(truth.bands) not in _bands_of_truth(head):
            raise InputError(
                f"the truth of {name!r} has {len(truth.bands)} band(s), it must have "
                f"{' or '.join(map(str, _bands_of_truth(head)))}: give the truth of this head"
            )
        return head
    fitting = [
        head
        for head in sorted(spec.heads, key=lambda head: (head.kind == "classes") != (len(truth.bands) == 1))
        if stored_array(folder, head.name).odc.geobox.shape == truth.geobox.shape
        and len(truth.bands) in _bands_of_truth(head)
    ]
    if not fitting:
        heads = "; ".join(
            f"{h.name} {' or '.join(map(str, _bands_of_truth(h)))} band(s) of "
            f"{'×'.join(map(str, stored_array(folder, h.name).shape[-2:]))} px"
            for h in spec.heads
        )
        raise InputError(
            f"the truth has {len(truth.bands)} band(s) of {'×'.join(map(str, truth.geobox.shape))} px, which fits no "
            f"head of {folder} ({heads}): give the truth of one of them on its own grid"
        )
    return fitting[0]


def _bands_of_truth(head: HeadSpec) -> tuple[int, ...]:
    if head.kind == "continuous":
        return (head.channels,)
    return (1, 3) if head.classes else (1,)


def measure_job(judged: Judged, read: Rectangle, own: Rectangle, origin: tuple[int, int]) -> tuple[Sums, ...]:
    """Return what one rectangle contributes to each metric.

    Raises
    ------
    InputError
        If a label is no class of the head.
    """
    stored = stored_array(judged.folder, judged.head.name)[:, *read]
    truth = judged.truth.read(*read)
    known = np.asarray(np.isfinite(truth).all(axis=0))
    if judged.head.kind == "classes":
        _check_whole(judged, truth[:, known])
        reference = _labels(judged, truth, known)
        known &= reference[0] != IGNORED
        estimate = stored.values
        usable = known & (estimate[0] != stored.attrs["_FillValue"])
    else:
        reference, estimate = truth.astype(np.float64), physical(stored)
        usable = known & np.isfinite(estimate).all(axis=0)
    _check_labels(judged, reference, usable)
    part = Part(reference, estimate, usable, own, origin)
    return tuple(metric.sums(part) for metric in judged.metrics)


def _labels(judged: Judged, truth: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Class indices `(1, H, W)` of labels, or of colours; of these, any that is no class's does not count."""
    values = np.where(known, truth, IGNORED).astype(np.int64)
    if not judged.by_color:
        return values
    found = classes_of_colors(values, judged.truth.palette, judged.head.classes)
    counts = known & (found != NO_CLASS)
    if len(values) == 1:  # of red, green and blue, 255 is a colour's
        counts &= values[0] != IGNORED
    return np.where(counts, found, IGNORED)[None]


def _check_whole(judged: Judged, labels: NDArray[np.float32]) -> None:
    broken = labels[labels != np.floor(labels)]
    if broken.size:
        raise InputError(
            f"the truth of {judged.head.name!r} has label {broken[0]:g}, which is no whole number: give the number of "
            "each pixel's class, not its probability"
        )


def _check_labels(judged: Judged, reference: NDArray[Any], usable: NDArray[np.bool_]) -> None:
    if judged.head.kind != "classes":
        return
    wrong = usable & ((reference[0] < 0) | (reference[0] >= judged.head.n_classes))
    if not wrong.any():
        return
    raise InputError(
        f"the truth of {judged.head.name!r} has label {int(reference[0][wrong][0])}, the classes are 0 to "
        f"{judged.head.n_classes - 1} and {IGNORED} for what does not count: renumber it"
    )
