import numpy as np
import pytest
import torch

from rsmtl.datasets import LabelledScene, Patches, Sampling, scene_windows
from rsmtl.losses import IGNORE
from rsmtl.radiometry import Radiometry

BYTE = Radiometry(high=(255.0,))


def scene(height: int = 90, width: int = 130, seed: int = 0) -> LabelledScene:
    """A scene whose first band is its label, so that what moves one must move the other."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 6, (height, width)).astype(np.uint8)
    return LabelledScene(f"scene {seed}", np.stack([labels * 51, 255 - labels, labels]), labels, BYTE)


def patches(scenes: tuple[LabelledScene, ...], epoch: int = 0, seed: int = 0, **sampling: float) -> Patches:
    return Patches(scenes, Sampling(patch_px=32, patches_per_epoch=64, **sampling), seed, epoch)


def test_patch_depends_on_seed_epoch_and_index_alone():
    scenes = (scene(), scene(seed=1))
    forward = [patches(scenes, jitter=0.2, zoom=1.5)[i]["image"] for i in range(64)]
    backward = [patches(scenes, jitter=0.2, zoom=1.5)[i]["image"] for i in reversed(range(64))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(forward, backward, strict=True))
    assert not torch.equal(forward[0], forward[1])
    assert not torch.equal(forward[0], patches(scenes, epoch=1, jitter=0.2, zoom=1.5)[0]["image"])
    assert not torch.equal(forward[0], patches(scenes, seed=1, jitter=0.2, zoom=1.5)[0]["image"])


def test_image_and_labels_turn_together():
    for patch in patches((scene(),)):
        assert patch["image"].dtype == torch.float32
        assert patch["segmentation"].dtype == torch.int64
        assert torch.allclose(patch["image"][0], patch["segmentation"] / 5, atol=1e-6)


def test_all_eight_orientations_occur():
    whole = LabelledScene("square", np.zeros((1, 32, 32), np.uint8), np.zeros((32, 32), np.uint8), BYTE)
    whole.labels[3, 5] = 1
    found = {tuple(torch.nonzero(p["segmentation"])[0].tolist()) for p in patches((whole,))}
    assert found == {(y, x) for a, b in ((3, 5), (5, 3)) for y in (a, 31 - a) for x in (b, 31 - b)}


def test_zoom_keeps_image_and_labels_together():
    labels = np.zeros((200, 200), dtype=np.uint8)
    labels[:, 100:] = 5
    half = LabelledScene("half", labels[None] * 51, labels, BYTE)
    for patch in patches((half,), zoom=2.0):
        assert patch["image"].shape == (1, 32, 32)
        agree = torch.isclose(patch["image"][0], patch["segmentation"] / 5, atol=0.5)
        assert agree.float().mean() > 0.96
        assert set(patch["segmentation"].unique().tolist()) <= {0, 5}


def test_scene_smaller_than_a_patch_is_enlarged():
    patch = patches((scene(20, 25),))[0]
    assert patch["image"].shape == (3, 32, 32)
    assert patch["segmentation"].shape == (32, 32)


def test_large_scenes_are_drawn_more_often():
    dark = LabelledScene("dark", np.zeros((1, 40, 40), np.uint8), np.zeros((40, 40), np.uint8), BYTE)
    bright = LabelledScene(
        "bright", np.full((1, 120, 120), 255, np.uint8), np.ones((120, 120), np.uint8), BYTE
    )
    share = np.mean([patch["segmentation"].float().mean().item() for patch in patches((dark, bright))])
    assert share == pytest.approx(0.9, abs=0.08)


def test_jitter_changes_values_within_its_bounds():
    grey = LabelledScene("grey", np.full((3, 64, 64), 128, np.uint8), np.zeros((64, 64), np.uint8), BYTE)
    values = torch.stack([patch["image"] for patch in patches((grey,), jitter=0.3)])
    amount = 0.3 * 4 / 3
    assert values.std() > 0.03
    assert values.min() >= 128 / 255 * (1 - amount) - amount / 2
    assert values.max() <= 128 / 255 * (1 + amount) + amount / 2


def test_end_of_the_epoch():
    with pytest.raises(IndexError):
        patches((scene(),))[64]


def test_windows_hold_every_pixel_once():
    source = scene(90, 130)
    windows = list(scene_windows(source, 64))
    assert len(windows) == 2 * 3
    assert all(w["image"].shape == (3, 64, 64) for w in windows)
    counts = sum(np.bincount(w["segmentation"].numpy().ravel(), minlength=256) for w in windows)
    assert (counts[:6] == np.bincount(source.labels.ravel(), minlength=6)).all()
    assert counts[IGNORE] == 6 * 64**2 - 90 * 130
    for window in windows:
        inside = window["segmentation"] != IGNORE
        assert torch.allclose(window["image"][0][inside], window["segmentation"][inside] / 5, atol=1e-6)
        assert torch.isfinite(window["image"]).all()
