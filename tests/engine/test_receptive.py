"""With `exact`, a product is one pass over the whole scene."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rsmtl.config import Settings
from rsmtl.engine.lazy import predict
from rsmtl.engine.plan import plan
from rsmtl.engine.receptive import exact_margin
from rsmtl.errors import PlanError
from rsmtl.models import find_system
from rsmtl.models.model import Model
from rsmtl.models.spec import ClassSpec
from tests import fakes


class Plain(nn.Module):
    """Three convolutions, one pooling, and back: sees 3 + 2 + 2 pixels or so, from even places on."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        fine, coarse = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 5, padding=2)
        last = nn.Conv2d(4, 1, 3, padding=1)
        self.layers = nn.Sequential(
            fine, nn.ReLU(), nn.MaxPool2d(2), coarse, nn.Upsample(scale_factor=2), last
        )

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"same": self.layers(image)}


def plain() -> Model:
    return fakes.one_input_model(Plain(), 1, fakes.continuous("same", 1), divisor=2)


def system(name: str, **sizes: object) -> Model:
    """A published system of a small width with weights that nobody trained, in evaluation mode."""
    found = find_system(name)
    config = found.config.model_validate({"in_channels": 1, "n_classes": 3, "width": 4, **sizes})
    torch.manual_seed(0)
    classes = tuple(ClassSpec(name=f"c{k}", color=(k, k, k)) for k in range(3))
    spec = found.make_spec(config, bands={}, classes=classes, radiometry={})
    return Model.from_module(found.build(config), spec)


SMALL_SRSEG = {"scale": 2, "features": 8, "sr_width": 4, "n_stages": 2}


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (plain(), (300, 411)),
        (system("dsrl"), (521, 600)),
        (system("srseg", **SMALL_SRSEG), (521, 600)),
    ],
    ids=["plain", "dsrl", "srseg"],
)
def test_the_product_is_one_pass_over_the_scene(model: Model, shape: tuple[int, int]) -> None:
    values = fakes.textured((1, *shape))
    scene, named = fakes.make_scene(values), {"window": 64} if shape[0] < 500 else {}
    heads = tuple(head.name for head in model.spec.heads)
    settings = Settings(exact=True, heads=heads, **named)
    made = plan(scene, model, settings)
    assert made.lattice.n_windows > 1
    assert made.settings.margin > 0
    assert made.lattice.y.stride % model.spec.step == 0
    y, x = (axis.window_span(axis.n_windows - 1).stop for axis in (made.lattice.y, made.lattice.x))
    padded = np.pad(values, ((0, 0), (0, y - shape[0]), (0, x - shape[1])), mode="reflect")
    with torch.inference_mode():
        whole = model.module(torch.from_numpy(padded)[None])
    found = predict(scene, model, settings).compute()
    for head in model.spec.heads:
        expected = whole[head.name][0, :, : int(shape[0] * head.scale), : int(shape[1] * head.scale)].numpy()
        if head.kind == "classes":
            assert (found[head.name].values != expected.argmax(axis=0)).mean() <= 1e-5
        else:
            np.testing.assert_allclose(
                found[head.name].values, expected[0], atol=1e-5 * np.abs(expected).max()
            )


def test_the_margin_is_the_receptive_field() -> None:
    # 1 + 2·2 + 1 at the scale of each, and 1 since poolings begin at even places: pixel 6 sees pixel -1, 7 does not
    assert exact_margin(plain(), Settings()) == 7


def test_a_network_that_depends_on_the_place_in_a_window_is_refused() -> None:
    urec = system("urec")
    with pytest.raises(PlanError, match="depends on where in a window a pixel lies"):
        plan(fakes.make_scene(fakes.textured((1, 600, 600))), urec, Settings(exact=True))


class Global(nn.Module):
    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"same": image - image.mean(dim=(2, 3), keepdim=True)}


def test_a_network_that_sees_all_of_its_window_is_refused() -> None:
    model = fakes.one_input_model(Global(), 1, fakes.continuous("same", 1))
    with pytest.raises(PlanError, match="on all of its window"):
        plan(fakes.make_scene(fakes.textured((1, 600, 600))), model, Settings(exact=True))


def test_a_plan_of_chosen_sizes_is_the_same_plan() -> None:
    scene = fakes.make_scene(fakes.textured((1, 600, 600)))
    made = plan(scene, plain(), Settings(exact=True))
    assert plan(scene, plain(), made.settings).settings == made.settings


def test_a_margin_that_is_too_small_to_be_exact_is_refused() -> None:
    with pytest.raises(PlanError, match="leave --margin out"):
        plan(fakes.make_scene(fakes.textured((1, 600, 600))), plain(), Settings(exact=True, margin=4))
