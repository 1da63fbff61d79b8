from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from rsmtl.datasets import (
    LABELS,
    LabelledScene,
    Layer,
    Patches,
    Sampling,
    check_sampling,
    read_window,
    windows_of,
)
from rsmtl.datasets.scene import labels_layer
from rsmtl.errors import InputError
from rsmtl.losses import IGNORE
from rsmtl.radiometry import Radiometry

BYTE = Radiometry(high=(255.0,))


def labelled(name: str, image: np.ndarray, labels: np.ndarray) -> LabelledScene:
    return LabelledScene(name, {"image": Layer(image, BYTE), LABELS: labels_layer(labels)})


def scene(height: int = 90, width: int = 130, seed: int = 0) -> LabelledScene:
    """A scene whose first band is its label, so that what moves one must move the other."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 6, (height, width)).astype(np.uint8)
    return labelled(f"scene {seed}", np.stack([labels * 51, 255 - labels, labels]), labels)


def patches(scenes: tuple[LabelledScene, ...], epoch: int = 0, seed: int = 0, **sampling: Any) -> Patches:
    return Patches(scenes, Sampling(**{"patch_px": 32, "patches_per_epoch": 64, **sampling}), seed, epoch)


def drawn(source: Patches) -> list[dict[str, torch.Tensor]]:
    return [source[i] for i in range(len(source))]


def test_patch_depends_on_seed_epoch_and_index_alone():
    scenes = (scene(), scene(seed=1))
    forward = [patches(scenes, jitter=0.2, zoom=1.5)[i]["image"] for i in range(64)]
    backward = [patches(scenes, jitter=0.2, zoom=1.5)[i]["image"] for i in reversed(range(64))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(forward, backward, strict=True))
    assert not torch.equal(forward[0], forward[1])
    assert not torch.equal(forward[0], patches(scenes, epoch=1, jitter=0.2, zoom=1.5)[0]["image"])
    assert not torch.equal(forward[0], patches(scenes, seed=1, jitter=0.2, zoom=1.5)[0]["image"])


def test_image_and_labels_turn_together():
    for patch in drawn(patches((scene(),))):
        assert patch["image"].dtype == torch.float32
        assert patch["segmentation"].dtype == torch.int64
        assert torch.allclose(patch["image"][0], patch["segmentation"] / 5, atol=1e-6)


def test_all_eight_orientations_occur():
    labels = np.zeros((32, 32), np.uint8)
    labels[3, 5] = 1
    whole = labelled("square", np.zeros((1, 32, 32), np.uint8), labels)
    found = {tuple(torch.nonzero(p["segmentation"])[0].tolist()) for p in drawn(patches((whole,)))}
    assert found == {(y, x) for a, b in ((3, 5), (5, 3)) for y in (a, 31 - a) for x in (b, 31 - b)}


def test_zoom_keeps_image_and_labels_together():
    labels = np.zeros((200, 200), dtype=np.uint8)
    labels[:, 100:] = 5
    half = labelled("half", labels[None] * 51, labels)
    for patch in drawn(patches((half,), zoom=2.0)):
        assert patch["image"].shape == (1, 32, 32)
        agree = torch.isclose(patch["image"][0], patch["segmentation"] / 5, atol=0.5)
        assert agree.float().mean() > 0.96
        assert set(patch["segmentation"].unique().tolist()) <= {0, 5}


def test_scene_smaller_than_a_patch_is_enlarged():
    patch = patches((scene(20, 25),))[0]
    assert patch["image"].shape == (3, 32, 32)
    assert patch["segmentation"].shape == (32, 32)


def test_large_scenes_are_drawn_more_often():
    dark = labelled("dark", np.zeros((1, 40, 40), np.uint8), np.zeros((40, 40), np.uint8))
    bright = labelled("bright", np.full((1, 120, 120), 255, np.uint8), np.ones((120, 120), np.uint8))
    share = np.mean([patch["segmentation"].float().mean().item() for patch in drawn(patches((dark, bright)))])
    assert share == pytest.approx(0.9, abs=0.08)


def test_jitter_changes_values_within_its_bounds():
    grey = labelled("grey", np.full((3, 64, 64), 128, np.uint8), np.zeros((64, 64), np.uint8))
    values = torch.stack([patch["image"] for patch in drawn(patches((grey,), jitter=0.3))])
    amount = 0.3 * 4 / 3
    assert values.std() > 0.03
    assert values.min() >= 128 / 255 * (1 - amount) - amount / 2
    assert values.max() <= 128 / 255 * (1 + amount) + amount / 2


def test_a_pair_becomes_brighter_or_darker_as_a_whole():
    """PAN, MS and HRMS by one factor, so that what is to be made of the two stays what it is."""
    layers = {
        "pan": Layer(np.full((1, 64, 64), 100, np.uint8), BYTE),
        "ms": Layer(np.full((3, 16, 16), 50, np.uint8), BYTE, Fraction(1, 4)),
        LABELS: labels_layer(np.ones((64, 64), np.uint8)),
    }
    found = drawn(patches((LabelledScene("pair", layers),), jitter=0.5))
    light = torch.stack([patch["pan"].mean() for patch in found]) / (100 / 255)
    assert 0.5 <= light.min() < 0.7
    assert 1.3 < light.max() <= 1.5
    for patch, factor in zip(found, light, strict=True):
        assert torch.allclose(patch["ms"], factor * 50 / 255)
        assert (patch[LABELS] == 1).all()


def test_gamma_bends_the_curve_between_its_ends():
    """Black and white stay, grey moves within the bounds, negative values are left alone."""
    tones = np.repeat(np.array([0, 51, 255], np.uint8), 64)[None, None].repeat(64, 1).repeat(3, 0)
    striped = labelled("striped", tones[..., :192], np.zeros((64, 192), np.uint8))
    values = torch.cat([patch["image"].ravel() for patch in drawn(patches((striped,), gamma=2.0))])
    black, white = (values < 1e-6), (values > 1 - 1e-6)
    grey = values[~black & ~white]
    assert black.any()
    assert white.any()
    assert 0.2**2 - 1e-6 <= grey.min() < 0.1
    assert 0.3 < grey.max() <= 0.2**0.5 + 1e-6
    veiled = LabelledScene("veiled", {"image": Layer(tones, Radiometry(low=(100.0,), high=(200.0,)))})
    assert min(patch["image"].min() for patch in drawn(patches((veiled,), gamma=2.0))) == -1.0


def test_end_of_the_epoch():
    with pytest.raises(IndexError):
        patches((scene(),))[64]


def test_windows_hold_every_pixel_once():
    source = scene(90, 130)
    windows = [read_window(place, 64) for place in windows_of(source, 64)]
    assert len(windows) == 2 * 3
    assert all(w["image"].shape == (3, 64, 64) for w in windows)
    counts = sum(np.bincount(w["segmentation"].numpy().ravel(), minlength=256) for w in windows)
    assert (counts[:6] == np.bincount(source.layers[LABELS].values[...].ravel(), minlength=6)).all()
    assert counts[IGNORE] == 6 * 64**2 - 90 * 130
    for window in windows:
        inside = window["segmentation"] != IGNORE
        assert torch.allclose(window["image"][0][inside], window["segmentation"][inside] / 5, atol=1e-6)
        assert torch.isfinite(window["image"]).all()
        assert (window["counted"] == inside).all()


def pair(height: int = 128, width: int = 160) -> LabelledScene:
    """PAN, and MS that is its mean over 4×4 pixels; the label is PAN's brightness."""
    rng = np.random.default_rng(1)
    pan = rng.integers(0, 256, (1, height, width)).astype(np.float32)
    ms = pan.reshape(1, height // 4, 4, width // 4, 4).mean(axis=(2, 4))
    labels = (pan[0] > 128).astype(np.uint8)
    layers = {
        "pan": Layer(pan, BYTE),
        "ms": Layer(np.concatenate([ms, 255 - ms]), BYTE, Fraction(1, 4)),
        LABELS: labels_layer(labels),
    }
    return LabelledScene("pair", layers)


@pytest.mark.parametrize("augment", ["none", "mirrors", "dihedral"])
def test_pan_and_ms_stay_registered(augment: str):
    found = set()
    for patch in drawn(patches((pair(),), augment=augment)):
        pan, ms = patch["pan"], patch["ms"]
        assert ms.shape == (2, 8, 8)
        assert torch.allclose(pan.reshape(1, 8, 4, 8, 4).mean(dim=(2, 4)), ms[:1], atol=1e-6)
        assert torch.equal(patch["segmentation"] == 1, pan[0] > 128 / 255)
        found.add(pan.numpy().tobytes())
    assert len(found) > 30


def test_mirrors_are_four_and_never_turn_a_quarter():
    labels = np.zeros((32, 32), np.uint8)
    labels[3, 5] = 1
    whole = labelled("square", np.zeros((1, 32, 32), np.uint8), labels)
    found = {
        tuple(torch.nonzero(p["segmentation"])[0].tolist())
        for p in drawn(patches((whole,), augment="mirrors"))
    }
    assert found == {(y, x) for y in (3, 28) for x in (5, 26)}


def test_strided_patches_are_each_once_in_an_epoch_in_another_order():
    source = scene(96, 128)
    orders = []
    for epoch in (0, 1):
        strided = patches((source, scene(64, 64, seed=1)), epoch=epoch, stride_px=16, augment="none")
        assert len(strided) == 5 * 7 + 3 * 3
        places = [(p.scene.name, p.y.start, p.x.start) for p in map(strided.place, range(len(strided)))]
        assert len(set(places)) == len(places)
        orders.append(places)
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]


def test_patches_keep_to_their_area_and_alignment():
    areas = ((slice(8, 72), slice(0, 40)), (slice(40, 90), slice(60, 130)))
    source = scene().within(areas)
    aligned = patches((source,), align_px=8)
    for i in range(64):
        place = aligned.place(i)
        inside = [
            y.start <= place.y.start
            and place.y.stop <= y.stop
            and x.start <= place.x.start
            and place.x.stop <= x.stop
            for y, x in areas
        ]
        assert any(inside), place
        assert place.y.start % 8 == place.x.start % 8 == 0


def test_alignment_never_leaves_an_area():
    """An area of less than two units may hold no aligned patch; then it is drawn without."""
    source = scene(90, 130).within(((slice(10, 74), slice(20, 70)),))
    aligned = patches((source,), align_px=64)
    for place in map(aligned.place, range(64)):
        assert 10 <= place.y.start < place.y.stop <= 74
        assert 20 <= place.x.start < place.x.stop <= 70


def test_areas_too_small_for_a_patch_are_left_out():
    source = pair(128, 160).within(((slice(0, 24), slice(0, 160)), (slice(64, 128), slice(0, 160))))
    assert all(patches((source,)).place(i).y.start >= 64 for i in range(64))
    with pytest.raises(InputError, match="does not fit into any area to train on, the largest has 24 px"):
        check_sampling(Sampling(patch_px=32), (source.within(((slice(0, 24), slice(0, 160)),)),), batch=1)


def test_a_place_says_where_it_is():
    assert str(patches((scene(),)).place(0)).startswith("scene 0 rows ")


def test_a_pixel_without_a_value_is_nothing_and_has_no_label():
    image = np.ones((2, 32, 32), np.float32)
    image[1, 4, 7] = np.nan
    (patch,) = drawn(
        patches((labelled("holed", image, np.ones((32, 32), np.uint8)),), patches_per_epoch=1, augment="none")
    )
    assert patch["image"][1, 4, 7] == 0
    assert patch["segmentation"][4, 7] == IGNORE
    assert (patch["segmentation"] == IGNORE).sum() == 1


def test_a_pixel_of_ms_without_a_value_takes_its_labels_along():
    whole = pair()
    ms = whole.layers["ms"].values[...].copy()
    ms[1, 3, 5] = np.nan
    layers = {**whole.layers, "ms": Layer(ms, BYTE, Fraction(1, 4))}
    window, known = LabelledScene("holed", layers).read_known(slice(8, 40), slice(16, 48))
    assert (~known).nonzero().tolist() == [[y, x] for y in range(4, 8) for x in range(4, 8)]
    assert ((window["segmentation"] == IGNORE) == ~known).all()
    (place,) = windows_of(LabelledScene("holed", layers), 160)
    assert int(read_window(place, 160)["counted"].sum()) == 128 * 160 - 16


@pytest.mark.parametrize(
    ("sampling", "sentence"),
    [
        ({"patch_px": 30}, r"sampling\.patch_px must be a multiple of 4, as the layers' GSD differ: got 30"),
        ({"patch_px": 32, "stride_px": 6}, r"sampling\.stride_px must be a multiple of 4"),
        ({"patch_px": 32, "zoom": 1.5}, r"layers of several GSD cannot be zoomed and stay registered: set"),
        ({"patch_px": 32, "align_px": 6}, r"sampling\.align_px must be a multiple of 4: got 6"),
        (
            {"patch_px": 256},
            r"a patch of 256 px does not fit into any area to train on, the largest has 128 px: make",
        ),
    ],
)
def test_what_cannot_be_sampled(sampling: dict[str, Any], sentence: str):
    with pytest.raises(InputError, match=sentence):
        check_sampling(Sampling(**sampling), (pair(),), batch=8)


def test_no_scenes_to_train_on():
    with pytest.raises(
        InputError, match="the data set has no scene to train on: look at what `rsmtl prepare`"
    ):
        check_sampling(Sampling(), (), batch=1)
