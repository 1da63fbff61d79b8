import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rsmtl.datasets import LabelledScene
from rsmtl.losses import IGNORE
from rsmtl.radiometry import Radiometry
from rsmtl.training import evaluate

NAMES = ("a", "b", "c")


class ReadsTheLabel(nn.Module):
    """Knows the class by the first band; with `wrong`, takes b for c. Rebuilds the image a tenth too bright."""

    def __init__(self, wrong: bool = False) -> None:
        super().__init__()
        self.wrong = wrong

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        classes = (image[:, 0] * 2).round().long().clamp(0, 2)
        if self.wrong:
            classes[classes == 1] = 2
        logits = nn.functional.one_hot(classes, 3).permute(0, 3, 1, 2).float()
        return {"segmentation": logits, "reconstruction": image + 0.1}


@pytest.fixture
def scene() -> LabelledScene:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (70, 45)).astype(np.uint8)
    image = np.stack([labels, labels])
    labels = labels.copy()
    labels[:10] = IGNORE
    return LabelledScene("s", image, labels, Radiometry(high=(2.0,)))


def test_a_module_that_is_right(scene: LabelledScene):
    found = evaluate(ReadsTheLabel(), [scene, scene], NAMES, window_px=32, precision="fp32")
    assert found["mean_iou"] == 1
    assert np.sum(found["confusion"]) == 2 * 60 * 45
    assert found["psnr_db"] == pytest.approx(20, abs=1e-3)


def test_a_module_that_is_wrong_about_one_class(scene: LabelledScene):
    found = evaluate(ReadsTheLabel(wrong=True), [scene], NAMES, window_px=64, precision="fp32")
    counts = np.bincount(scene.labels[10:].ravel(), minlength=3)
    assert found["confusion"] == [[counts[0], 0, 0], [0, 0, counts[1]], [0, 0, counts[2]]]
    assert found["recall"] == {"a": 1.0, "b": 0.0, "c": 1.0}
    assert found["precision"]["b"] is None
    assert found["iou"]["c"] == pytest.approx(counts[2] / (counts[1] + counts[2]))


def test_evaluation_ends_in_evaluation_mode(scene: LabelledScene):
    module = ReadsTheLabel().train()
    evaluate(module, [scene], NAMES, window_px=32, precision="bf16")
    assert not module.training
    assert not torch.is_inference_mode_enabled()
