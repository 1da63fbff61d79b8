"""Inputs of lower resolution, against Pillow and against the whole array."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image

from rsmtl.datasets import LabelledScene, Layer
from rsmtl.datasets.reduced import BroughtDown, low_resolution, wald
from rsmtl.errors import InputError
from rsmtl.metrics.noreference import bring_down
from rsmtl.radiometry import Radiometry
from tests import fakes


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_low_resolution_is_that_of_pillow(factor: int) -> None:
    image = np.round(fakes.textured((96, 128), seed=3) * 255).astype(np.uint8)
    theirs = np.asarray(
        Image.fromarray(image).resize((128 // factor, 96 // factor), Image.Resampling.BICUBIC)
    )
    ours = low_resolution(torch.from_numpy(image.astype(np.float32))[None], factor)[0].numpy()
    assert np.abs(np.clip(ours, 0, 255) - theirs).max() <= 1.0  # Pillow rounds between its two passes too


def test_a_window_brought_down_is_that_of_the_whole() -> None:
    fine = fakes.textured((2, 96, 128), seed=5)
    lazy = BroughtDown(fine, 4)
    assert lazy.shape == (2, 24, 32)
    whole = bring_down(fine.astype(np.float64), 4).astype(np.float32)
    for y, x in (
        (slice(0, 24), slice(0, 32)),
        (slice(5, 11), slice(7, 30)),
        (slice(0, 3), slice(30, 32)),
        (slice(23, 24), slice(0, 1)),
    ):
        assert np.allclose(lazy[..., y, x], whole[:, y, x], atol=1e-6)


def test_what_is_brought_down_does_not_move() -> None:
    """A plane stays a plane: pixel centres lie where they were."""
    y, x = np.mgrid[0:64, 0:64].astype(np.float64)
    coarse = BroughtDown((3 * x + 2 * y)[None], 4)[..., slice(3, 12), slice(3, 12)]
    centres = np.arange(3, 12) * 4 + 1.5
    assert np.allclose(coarse[0], 3 * centres[None] + 2 * centres[:, None], atol=1e-3)


def test_wald_makes_the_measured_ms_the_truth() -> None:
    pan = fakes.textured((1, 160, 128), seed=1) * 2047
    ms = fakes.textured((4, 40, 32), seed=2) * 2047
    eleven = Radiometry(high=(2047.0,))
    layers = {"pan": Layer(pan, eleven), "ms": Layer(ms, eleven, Fraction(1, 4))}
    degraded = wald(LabelledScene("pair", layers))
    assert degraded.shape == (40, 32)
    assert degraded.areas == ((slice(0, 40), slice(0, 32)),)
    window = degraded.read(slice(8, 24), slice(16, 32))
    assert {name: tuple(v.shape) for name, v in window.items()} == {
        "pan": (1, 16, 16),
        "ms": (4, 4, 4),
        "hrms": (4, 16, 16),
    }
    assert np.allclose(window["hrms"], ms[:, 8:24, 16:32] / 2047, atol=1e-6)


def test_wald_needs_a_pair() -> None:
    scene = LabelledScene("s", {"image": Layer(np.zeros((3, 8, 8)))})
    with pytest.raises(
        InputError, match="Wald's protocol needs the layers pan and ms, s has image: leave out `wald`"
    ):
        wald(scene)


def test_what_is_brought_down_has_nothing_of_another_split() -> None:
    eleven = Radiometry(high=(2047.0,))
    areas = ((slice(0, 160), slice(0, 64)),)

    def degraded(beyond: float) -> tuple[LabelledScene, dict[str, torch.Tensor]]:
        pan = fakes.textured((1, 160, 128), seed=1) * 2047
        ms = fakes.textured((4, 40, 32), seed=2) * 2047
        pan[..., 64:] = ms[..., 16:] = beyond
        scene = wald(
            LabelledScene("p", {"pan": Layer(pan, eleven), "ms": Layer(ms, eleven, Fraction(1, 4))}, areas)
        )
        return scene, scene.read(*scene.areas[0])

    (scene, one), (_, other) = degraded(0.0), degraded(2047.0)
    assert scene.areas == ((slice(0, 40), slice(0, 8)),)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_pair_that_is_no_multiple_is_cut() -> None:
    layers = {"pan": Layer(np.ones((1, 196, 196))), "ms": Layer(np.ones((3, 49, 49)), scale=Fraction(1, 4))}
    assert wald(LabelledScene("pair", layers)).areas == ((slice(0, 48), slice(0, 48)),)
