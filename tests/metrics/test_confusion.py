import numpy as np
import pytest

from rsmtl.metrics import Confusion, confusion_matrix, measure, scores

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


def test_the_metric_of_a_map_leaves_out_what_is_ignored_or_invalid() -> None:
    truth = np.array([[[0, 1, 2, 255]]], dtype=np.uint8)
    predicted = np.array([[[0, 1, 1, 7]]], dtype=np.uint8)
    metric = Confusion(("a", "b", "clutter"), without=("clutter",))
    found = measure(metric, truth, predicted)
    assert found["n_px"] == 3
    assert found["confusion"] == [[1, 0, 0], [0, 1, 0], [0, 1, 0]]
    assert found["iou"] == {"a": 1.0, "b": 0.5, "clutter": 0.0}
    assert found["mean_iou"] == pytest.approx(0.5)
    assert found["mean_iou_without"] == pytest.approx(0.75)
    valid = np.array([[True, False, True, True]])
    assert measure(metric, truth, predicted, valid)["confusion"] == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]
