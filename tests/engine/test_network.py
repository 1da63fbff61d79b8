"""The forward pass: test-time augmentation, and modules that do not do as they say."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rsmtl.config import Settings
from rsmtl.engine.cost import cost
from rsmtl.engine.lazy import predict
from rsmtl.engine.network import forward
from rsmtl.engine.plan import plan
from rsmtl.errors import ModelError, PlanError
from rsmtl.models.model import Model
from rsmtl.models.spec import HeadSpec, InputSpec, ModelSpec
from tests import fakes

SETTINGS = Settings(window=16, overlap=4)


@pytest.mark.parametrize("tta", ["rotations", "dihedral"])
def test_what_depends_on_the_position_averages_out(tta) -> None:
    """The fake adds y (2x − 1), with y and x from 0 to 1: over the rotations of the square that sums to nothing."""
    image = torch.rand(3, 1, 16, 16)
    plain = forward(fakes.position_dependent(), SETTINGS, [image])["same"]
    averaged = forward(fakes.position_dependent(), SETTINGS.model_copy(update={"tta": tta}), [image])["same"]
    assert not torch.allclose(plain, image, atol=0.1)
    assert torch.allclose(averaged, image, atol=1e-6)


@pytest.mark.parametrize("tta", ["rotations", "dihedral"])
def test_inputs_and_heads_of_several_scales_are_turned_together(tta) -> None:
    pan, ms = torch.rand(2, 1, 16, 16), torch.rand(2, 3, 4, 4)
    plain = forward(fakes.pan_ms_mean(), SETTINGS, [pan, ms])
    averaged = forward(fakes.pan_ms_mean(), SETTINGS.model_copy(update={"tta": tta}), [pan, ms])
    for head in ("hrms", "coarse"):
        assert torch.allclose(averaged[head], plain[head], atol=1e-6)


def test_probabilities_are_averaged_not_votes() -> None:
    model, image = fakes.random_urec(), torch.rand(1, 3, 64, 64)
    settings = Settings(window=64, overlap=16, tta="rotations")
    with torch.inference_mode():
        turned = [
            torch.rot90(model.module(torch.rot90(image, k, (2, 3)))["segmentation"].softmax(1), -k, (2, 3))
            for k in range(4)
        ]
        found = forward(model, settings, [image])["segmentation"]
    assert torch.allclose(found, sum(turned) / 4, atol=1e-5)
    assert torch.allclose(found.sum(dim=1), torch.ones(1, 64, 64), atol=1e-6)


@pytest.mark.parametrize("batch", [1, 3])
def test_augmented_bits_do_not_depend_on_the_chunk(batch: int) -> None:
    scene, model = fakes.make_scene(fakes.textured((3, 200, 170))), fakes.random_urec()
    settings = Settings(window=64, overlap=16, tta="dihedral", batch=batch)
    found = [
        predict(scene, model, settings.model_copy(update={"chunk": chunk})).compute() for chunk in (1, 2, 5)
    ]
    for other in found[1:]:
        np.testing.assert_array_equal(other.segmentation, found[0].segmentation)
        np.testing.assert_array_equal(other.reconstruction, found[0].reconstruction)


class Broken(nn.Module):
    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"same": image.reshape(3, 7, -1)}


class Bare(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image


class Deciding(nn.Module):
    """Chooses by a number, which a projection on tensors without numbers cannot follow."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"same": image if image.sum() < 1e9 else -image}


def test_a_module_that_fails_is_a_sentence() -> None:
    model = fakes.one_input_model(Broken(), 1, fakes.continuous("same", 1))
    with pytest.raises(
        ModelError,
        match=r"the module of 'fake' fails on image \(1, 1, 16, 16\), which its spec allows: RuntimeError: .*"
        "mend the module, or its spec's divisor and channels",
    ):
        forward(model, SETTINGS, [torch.rand(1, 1, 16, 16)])


def test_a_module_that_gives_no_dict_is_a_sentence() -> None:
    model = fakes.one_input_model(Bare(), 1, fakes.continuous("same", 1))
    with pytest.raises(
        ModelError, match="must return a dict from head name to tensor, but it gave Tensor: wrap"
    ):
        forward(model, SETTINGS, [torch.rand(1, 1, 16, 16)])


def test_a_module_that_decides_by_numbers_has_a_cost() -> None:
    model = fakes.one_input_model(Deciding(), 1, fakes.continuous("same", 1))
    made = plan(fakes.make_scene(fakes.textured((1, 40, 40))), model, SETTINGS)
    assert cost(made).worker_bytes > 0


@pytest.mark.parametrize("name", ["../evil", "a/b", "", "Sr", "x", "confidence", "spatial_ref"])
def test_a_name_that_cannot_name_a_file_or_is_taken_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        ModelSpec(
            system="fake",
            inputs=(InputSpec(name="image", channels=1),),
            heads=(HeadSpec(name=name, channels=1, kind="continuous", like="image"),),
        )


class BoxMean(nn.Module):
    """The mean of 3×3 pixels, reflected at the window's edge: wrong in a window's outermost pixel only."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        padded = nn.functional.pad(image, (1, 1, 1, 1), mode="reflect")
        return {"same": nn.functional.avg_pool2d(padded, 3, stride=1)}


@pytest.mark.parametrize("overlap", [2, 4, 8])
def test_with_a_margin_a_local_filter_is_that_of_the_whole_scene(overlap: int) -> None:
    values = fakes.textured((1, 61, 75))
    spec = ModelSpec(
        system="fake", inputs=(fakes.image_input(1),), heads=(fakes.continuous("same", 1),), margin=1
    )
    model = Model.from_module(BoxMean(), spec)
    settings = Settings(window=16, overlap=overlap)
    found = predict(fakes.make_scene(values), model, settings)["same"].compute()
    whole = BoxMean()(torch.from_numpy(values)[None])["same"][0, 0].numpy()
    np.testing.assert_allclose(found, whole, atol=1e-7)
    careless = Model.from_module(BoxMean(), spec.model_copy(update={"margin": 0}))
    seams = predict(fakes.make_scene(values), careless, settings)["same"].compute()
    assert np.abs(seams - whole).max() > 1e-3


def test_an_overlap_that_leaves_no_room_for_the_margin_is_refused() -> None:
    spec = ModelSpec(
        system="fake",
        inputs=(fakes.image_input(1),),
        heads=(fakes.continuous("same", 1, scale=Fraction(1)),),
        margin=3,
    )
    model = Model.from_module(BoxMean(), spec)
    with pytest.raises(
        PlanError,
        match=r"the overlap must be at least 6 px, since a margin of 3 px .* got 4 px: make the overlap",
    ):
        plan(fakes.make_scene(fakes.textured((1, 40, 40))), model, SETTINGS)
