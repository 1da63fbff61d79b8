"""Margins measured on scenes, and what they do to products."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rsmtl.config import Settings
from rsmtl.engine.centred import centred
from rsmtl.engine.edge_response import measure
from rsmtl.engine.lazy import predict
from rsmtl.engine.plan import plan
from rsmtl.errors import PlanError
from rsmtl.lattice import Span
from rsmtl.models.model import Model
from tests import fakes

SHAPE = (700, 760)


class Darkening(nn.Module):
    """The mean of 41×41 pixels, with zeros beyond the window's edge: a dark frame 20 pixels wide."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        rows = nn.functional.avg_pool2d(image, (41, 1), stride=1, padding=(20, 0))
        return {"same": nn.functional.avg_pool2d(rows, (1, 41), stride=1, padding=(0, 20))}


def darkening() -> Model:
    return fakes.one_input_model(Darkening(), 1, fakes.continuous("same", 1))


def scene_of(shape: tuple[int, int] = SHAPE) -> "fakes.Scene":
    return fakes.make_scene(fakes.textured((1, *shape)) + 1)


def test_a_margin_is_measured_on_a_scene() -> None:
    assert measure(darkening(), [scene_of()]).edges["same"].margin in (16, 24)


def test_scenes_with_no_valid_part_are_refused() -> None:
    values = fakes.textured((1, *SHAPE))
    values[:, ::50] = np.nan
    with pytest.raises(PlanError, match="give larger scenes"):
        measure(darkening(), [fakes.make_scene(values)])


def test_by_default_a_product_has_no_grid_which_it_has_without_a_margin() -> None:
    scene, model = scene_of(), darkening()
    whole = Darkening()(torch.from_numpy(scene.inputs["image"].data.values)[None])["same"][0, 0].numpy()
    inner = (slice(32, 600), slice(32, 600))
    by_default, without = (
        np.abs(predict(scene, model, settings)["same"].compute().values - whole)[inner]
        for settings in (Settings(), Settings(margin=0))
    )
    assert by_default.max() < 0.02 * whole.std() < without.max()


def test_a_probe_gives_the_same_whatever_the_chunk() -> None:
    scene, model = scene_of(), darkening()
    found = [predict(scene, model, Settings(chunk=chunk))["same"].compute().values for chunk in (1, 2)]
    np.testing.assert_array_equal(*found)
    first, second = (plan(scene, model, Settings()) for _ in range(2))
    assert first.fingerprint == second.fingerprint
    assert 16 <= first.settings.margin <= 24
    assert "on a few places of this scene" in first.why["margin"]


def test_what_was_measured_travels_with_a_module() -> None:
    import pickle
    from dataclasses import replace

    model = darkening()
    model = replace(model, measured=measure(model, [scene_of()]))
    assert pickle.loads(pickle.dumps(model)).measured == model.measured  # our own


def test_centred_is_what_a_window_around_a_rectangle_says() -> None:
    scene, model = scene_of(), darkening()
    made = plan(scene, model, Settings(window=128, overlap=16))
    whole = Darkening()(torch.from_numpy(scene.inputs["image"].data.values)[None])["same"][0]
    for y, x in ((300, 400), (0, 0), (668, 728)):  # in the middle, and at both ends of the scene
        found = centred(made, Span(y, y + 32), Span(x, x + 32))["same"]
        expected = whole[:, y : y + 32, x : x + 32].numpy()
        near = (
            slice(None),
            slice(0, 8 if y == 668 else 32),
            slice(0, 8 if x == 728 else 32),
        )  # reflected beyond
        np.testing.assert_allclose(found[near], expected[near], rtol=1e-5)


def test_centred_keeps_what_is_not_valid_and_has_all_heads_on_their_grids() -> None:
    values = fakes.textured((1, 96, 96))
    values[0, 40, 41] = np.nan
    made = plan(fakes.make_scene(values), fakes.upsampler(), Settings(window=64, overlap=8))
    found = centred(made, Span(32, 48), Span(32, 48), shift=(8, 0))
    np.testing.assert_array_equal(found["same"][0], values[0, 32:48, 32:48])
    assert np.isnan(found["sr"][0, 32:36, 36:40]).all()
    assert np.isnan(found["sr"]).sum() == 16


def test_a_displaced_window_is_another_one() -> None:
    made = plan(scene_of(), fakes.position_dependent(), Settings(window=128, overlap=16))
    here, there = (centred(made, Span(300, 316), Span(300, 316), shift=(s, s))["same"] for s in (0, 16))
    assert np.abs(here - there).min() > 0.01
