"""Metrics from sums that add up over chunks, images and ranks: the confusion matrix and the squared error."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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


def squared_error(
    reference: NDArray[np.floating], estimate: NDArray[np.floating], valid: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Return `[sum of squared errors, number of values]`, float64; such pairs add up over chunks.

    Parameters
    ----------
    reference, estimate
        `(bands, H, W)`.
    valid
        `(H, W)`, True where pixels count; all do unless given.
    """
    error = reference.astype(np.float64) - estimate
    error = error if valid is None else error[:, valid]
    return np.array([np.square(error).sum(), error.size])


def psnr(sums: NDArray[np.float64], data_range: float) -> float:
    """Return the peak signal-to-noise ratio in dB, `10 log10(R² / MSE)`, of added `squared_error` pairs.

    The MSE is that of everything that was added; add one image for its own PSNR. `data_range` R is 1 for
    network values and 2047 for 11-bit DN. Equal images give infinity, no values NaN.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(10 * np.log10(data_range**2 * sums[1] / sums[0]))


def _ratio(over: NDArray[np.float64] | float, under: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Divide; NaN where the divisor is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.equal(under, 0), np.nan, np.divide(over, under))


def _mean_known(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
