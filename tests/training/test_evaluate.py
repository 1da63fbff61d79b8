"""A checkpoint scored on its own data set, and its card for people."""

from pathlib import Path

import pytest

from rsmtl.errors import InputError
from rsmtl.models import read_card
from rsmtl.training import evaluate_checkpoint, train
from rsmtl.training.card import describe, scores_table
from tests import fakes
from tests.training.configs import tiny


def test_scores_are_those_of_its_training(tmp_path: Path) -> None:
    path = train(tiny(epochs=1), tmp_path / "run", tmp_path)
    training = read_card(path).training
    assert evaluate_checkpoint(path, tmp_path) == {split: training[split] for split in ("validation", "test")}


def test_a_checkpoint_that_does_not_say_how_it_was_trained(tmp_path: Path) -> None:
    path = fakes.random_checkpoint(tmp_path / "random.safetensors")
    with pytest.raises(
        InputError, match=r"random\.safetensors does not say how it was trained in a way that this"
    ):
        evaluate_checkpoint(path, tmp_path)


def test_a_card_for_people(tmp_path: Path) -> None:
    path = train(tiny(epochs=1), tmp_path / "run", tmp_path)
    page = describe(read_card(path), "mine")
    assert page.startswith("# mine\n\nSystem `urec`; weights of epoch 0.")
    assert "- input `image`: 3 band(s) (red, green, blue), scale 1" in page
    assert "```yaml\nsystem: urec" in page
    assert "## Scores: test, segmentation" in page
    assert "## Scores: validation, reconstruction" in page


def test_tables_of_scores() -> None:
    scores = {
        "n_px": 1234567,
        "mean_iou": 0.5357142,
        "kappa": None,
        **{name: {"a": 0.5, "b": None} for name in ("iou", "f1", "precision", "recall")},
        "confusion": [[3, 1], [2, 4000]],
    }
    lines = scores_table(scores)
    assert lines[0] == "| n_px | mean_iou | kappa |"
    assert lines[2] == "| 1,234,567 | 0.5357 | – |"
    assert "| a | 0.5000 | 0.5000 | 0.5000 | 0.5000 |" in lines
    assert "| b | – | – | – | – |" in lines
    assert lines[-1] == "| b | 2 | 4,000 |"
