import numpy as np
import pytest

from rsmtl.metrics import confusion_matrix, psnr, scores, squared_error

WORKED = np.array([[3, 1], [2, 4]])


def test_worked_example():
    s = scores(WORKED)
    assert s.overall_accuracy == pytest.approx(0.7)
    assert s.recall == pytest.approx([0.75, 2 / 3])
    assert s.normalised_accuracy == pytest.approx(0.7083333, abs=1e-7)
    assert s.precision == pytest.approx([0.6, 0.8])
    assert s.f1 == pytest.approx([0.666667, 0.727273], abs=1e-6)
    assert s.iou == pytest.approx([0.5, 0.571429], abs=1e-6)
    assert s.mean_iou == pytest.approx(0.5357143, abs=1e-7)
    assert s.frequency_weighted_iou == pytest.approx(0.5428571, abs=1e-7)
    assert s.kappa == pytest.approx(0.4)


def test_rows_are_truth():
    truth, predicted = np.array([0, 0, 1]), np.array([1, 1, 1])
    assert confusion_matrix(truth, predicted, 2).tolist() == [[0, 2], [0, 1]]


def test_row_normalised_diagonal_is_recall():
    counts = np.array([[5, 3, 2], [1, 8, 1], [0, 4, 6]])
    normalised = counts / counts.sum(axis=1, keepdims=True)
    assert normalised.sum(axis=1) == pytest.approx([1, 1, 1])
    assert np.diag(normalised) == pytest.approx(scores(counts).recall)


def test_matrices_of_chunks_add_up():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 6, (70, 90)).astype(np.uint8)
    predicted = rng.integers(0, 6, (70, 90)).astype(np.uint8)
    truth[10:20] = 255
    parts = [confusion_matrix(truth[y : y + 32], predicted[y : y + 32], 6) for y in range(0, 70, 32)]
    whole = confusion_matrix(truth, predicted, 6)
    assert whole.dtype == np.int64
    assert (sum(parts) == whole).all()
    assert whole.sum() == 60 * 90


def test_class_absent_from_truth_but_predicted_counts_as_iou_zero():
    s = scores(np.array([[4, 1], [0, 0]]))
    assert np.isnan(s.recall[1])
    assert s.iou[1] == 0
    assert s.mean_iou == pytest.approx(0.4)
    assert s.normalised_accuracy == pytest.approx(0.8)


def test_class_absent_from_both_is_skipped():
    s = scores(np.array([[4, 1, 0], [1, 4, 0], [0, 0, 0]]))
    assert np.isnan(s.iou[2])
    assert s.mean_iou == pytest.approx(4 / 6)


def test_all_in_one_cell_has_no_kappa():
    assert np.isnan(scores(np.array([[7, 0], [0, 0]])).kappa)


def test_nothing_counted_gives_nan():
    s = scores(np.zeros((3, 3), dtype=np.int64))
    assert np.isnan(
        [s.overall_accuracy, s.mean_iou, s.normalised_accuracy, s.frequency_weighted_iou, s.kappa]
    ).all()


def test_class_outside_range_is_refused():
    with pytest.raises(ValueError, match="prediction holds classes 0 to 6, expected 0 to 5"):
        confusion_matrix(np.array([0, 0]), np.array([0, 6]), 6)
    with pytest.raises(ValueError, match="must have one shape"):
        confusion_matrix(np.zeros((2, 2), np.uint8), np.zeros(4, np.uint8), 6)


def test_psnr_adds_up_and_respects_the_mask():
    rng = np.random.default_rng(0)
    reference = rng.uniform(0, 1, (3, 40, 50))
    estimate = reference + 0.1
    whole = squared_error(reference, estimate)
    halves = squared_error(reference[:, :17], estimate[:, :17]) + squared_error(
        reference[:, 17:], estimate[:, 17:]
    )
    assert halves == pytest.approx(whole)
    assert psnr(whole, 1.0) == pytest.approx(20.0)
    assert psnr(whole, 2047.0) == pytest.approx(20 + 20 * np.log10(2047))
    valid = np.ones((40, 50), dtype=bool)
    valid[3, 4] = False
    estimate[:, 3, 4] = np.nan
    assert psnr(squared_error(reference, estimate, valid), 1.0) == pytest.approx(20.0)


def test_psnr_of_equal_and_of_no_values():
    image = np.ones((1, 2, 2))
    assert psnr(squared_error(image, image), 1.0) == np.inf
    assert np.isnan(psnr(np.zeros(2), 1.0))
