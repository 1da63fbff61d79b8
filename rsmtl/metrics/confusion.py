"""The confusion matrix and what follows from it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsmtl.metrics.metric import Part, Result, Sums


def confusion_matrix(
    truth: NDArray[np.integer], predicted: NDArray[np.integer], n_classes: int, ignore: int = 255
) -> NDArray[np.int64]:
    """Count pixels by true class (rows) and predicted class (columns).

    Matrices of parts of a scene add up to the matrix of the scene.

    Parameters
    ----------
    truth, predicted
        Class indices, of one shape. Pixels whose truth is `ignore` (the label that the losses leave out too)
        do not count.
    n_classes
        Number of classes K.

    Returns
    -------
    ndarray
        `(K, K)` int64.

    Raises
    ------
    ValueError
        If shapes differ, or a counted pixel has a class outside 0 … K − 1.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"truth {truth.shape} and prediction {predicted.shape} must have one shape")
    counted = truth != ignore
    rows, columns = truth[counted].astype(np.int64), predicted[counted].astype(np.int64)
    for what, values in (("truth", rows), ("prediction", columns)):
        if values.size and not 0 <= values.min() <= values.max() < n_classes:
            raise ValueError(
                f"{what} holds classes {values.min()} to {values.max()}, expected 0 to {n_classes - 1}"
            )
    counts = np.bincount(rows * n_classes + columns, minlength=n_classes**2)
    return counts.reshape(n_classes, n_classes)


@dataclass(frozen=True)
class Scores:
    """Scores of a confusion matrix; those by class have shape `(K,)`, NaN where they have no meaning."""

    overall_accuracy: float
    """Share of pixels that are right."""
    normalised_accuracy: float
    """Mean recall over the classes that the truth holds."""
    mean_iou: float
    """Mean IoU over the classes that the truth or the prediction holds."""
    frequency_weighted_iou: float
    """IoU weighted by how frequent each class is in the truth."""
    kappa: float
    """Cohen's kappa; NaN where chance alone explains everything."""
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    iou: NDArray[np.float64]


def scores(confusion: NDArray[np.int64]) -> Scores:
    """Return the scores of a `(K, K)` confusion matrix, rows truth, columns prediction."""
    hits = np.diag(confusion).astype(np.float64)
    truth, predicted = confusion.sum(axis=1).astype(np.float64), confusion.sum(axis=0).astype(np.float64)
    total = truth.sum()
    recall, iou = _ratio(hits, truth), _ratio(hits, truth + predicted - hits)
    accuracy, chance = _ratio(hits.sum(), total), _ratio((truth * predicted).sum(), total**2)
    return Scores(
        overall_accuracy=float(accuracy),
        normalised_accuracy=_mean_known(recall),
        mean_iou=_mean_known(iou),
        frequency_weighted_iou=float(np.nansum(_ratio(truth, total) * iou)) if total else float("nan"),
        kappa=float(_ratio(accuracy - chance, 1.0 - chance)),
        precision=_ratio(hits, predicted),
        recall=recall,
        f1=_ratio(2 * hits, truth + predicted),
        iou=iou,
    )


def _ratio(over: NDArray[np.float64] | float, under: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Divide; NaN where the divisor is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.equal(under, 0), np.nan, np.divide(over, under))


def _mean_known(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


@dataclass(frozen=True)
class Confusion:
    """The confusion matrix of class maps, and what follows from it.

    torchmetrics has the same matrix; ours is of plain arrays, as parts of a scene are measured by many processes.
    """

    classes: tuple[str, ...]
    """Names, by index."""
    without: tuple[str, ...] = ()
    """Classes that a second mean over classes leaves out, such as clutter."""
    context_px = 0

    def sums(self, part: Part) -> Sums:
        """Return the matrix, `(K, K)`; errors as `confusion_matrix`."""
        counted = part.valid[part.own]
        truth, predicted = (a[0][part.own][counted] for a in (part.reference, part.estimate))
        return confusion_matrix(truth, predicted, len(self.classes)).astype(np.float64)

    def result(self, sums: Sums) -> Result:
        """Return all scores, those by class under the class's name, and the matrix."""
        counts = sums.astype(np.int64)
        found = scores(counts)
        kept = np.array([name not in self.without for name in self.classes])
        return {
            "n_px": int(counts.sum()),
            "overall_accuracy": found.overall_accuracy,
            "normalised_accuracy": found.normalised_accuracy,
            "mean_iou": found.mean_iou,
            **({"mean_iou_without": _mean_known(found.iou[kept])} if self.without else {}),
            "frequency_weighted_iou": found.frequency_weighted_iou,
            "kappa": found.kappa,
            **{
                score: dict(zip(self.classes, getattr(found, score).tolist(), strict=True))
                for score in ("iou", "f1", "precision", "recall")
            },
            "confusion": counts.tolist(),
        }
