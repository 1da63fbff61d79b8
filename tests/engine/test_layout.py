"""A margin is given by larger windows first, and costs no more than it may."""

from typing import Any

import pytest

from rsmtl.config import Settings
from rsmtl.engine.layout import WORK, Layout, choose_layout, wanted_margin
from rsmtl.lattice import Lattice
from rsmtl.models.margin import EdgeResponse, Measured, WindowScore
from rsmtl.models.model import Model
from rsmtl.models.spec import ModelSpec
from tests import fakes

SCENE = (10_980, 10_980)


def model_with(margin: int, divisor: int = 32, scores: tuple[float, ...] = ()) -> Model:
    """A model of one head, of which this margin was measured."""
    bad = margin // 8
    edge = EdgeResponse(window=1024, bin_px=8, difference=(1.0,) * bad + (0.1,) * (64 - bad), floor=0.1)
    assert edge.margin == margin
    head = fakes.continuous("same", 1).model_copy(update={"margin": margin})
    spec = ModelSpec(system="fake", inputs=(fakes.image_input(1),), heads=(head,), divisor=divisor)
    windows = tuple(
        WindowScore(window=w, metric="mean_iou", score=s)
        for w, s in zip((256, 512, 1024), scores, strict=False)
    )
    return Model(spec, fakes.Identity(), "", measured=Measured(edges={"same": edge}, windows=windows))


def unknown() -> Model:
    return fakes.identity()


def laid(model: Model, shape: tuple[int, int] = SCENE, **named: Any) -> Layout:
    settings = Settings(**named)
    return choose_layout(model, settings, shape, wanted_margin(model, settings, shape, dict))


def sizes(found: Layout) -> tuple[int, int, int]:
    return found.window.value, found.overlap.value, found.margin.value


def work(found: Layout, shape: tuple[int, int] = SCENE) -> float:
    lattice = Lattice(*shape, found.window.value, found.overlap.value)
    return lattice.n_windows * float(found.window.value) ** 2 / shape[0] / shape[1]


@pytest.mark.parametrize("margin", [8, 48, 96, 128])
@pytest.mark.parametrize("shape", [SCENE, (1817, 2062), (4000, 700)])
def test_the_whole_margin_within_the_work_it_may_cost(margin: int, shape: tuple[int, int]) -> None:
    found, plain = laid(model_with(margin), shape), laid(model_with(0), shape)
    assert found.margin.value == margin
    assert found.overlap.value >= 2 * margin + found.window.value // 8
    assert work(found, shape) <= WORK * work(plain, shape)
    assert (found.window.value - found.overlap.value) % 32 == 0  # poolings fall alike


def test_without_a_margin_sizes_are_as_ever() -> None:
    assert sizes(laid(model_with(0))) == sizes(laid(model_with(96), margin=0)) == (512, 64, 0)


def test_a_window_that_is_given_has_what_margin_its_work_allows() -> None:
    found = laid(model_with(96), window=512)
    assert found.window.value == 512
    assert 0 < found.margin.value < 96
    assert work(found) <= WORK * work(laid(model_with(0)))
    assert "--fidelity high" in found.margin.why
    whole = laid(model_with(96), window=512, fidelity="high")
    assert whole.margin.value == 96
    assert 2 * 96 < whole.overlap.value <= 256


def test_high_fidelity_blends_over_more() -> None:
    high, standard = (laid(model_with(96), fidelity=name) for name in ("high", "standard"))
    assert high.margin.value == standard.margin.value == 96
    assert (high.overlap.value - 192) / high.window.value > (
        standard.overlap.value - 192
    ) / standard.window.value


def test_an_overlap_that_is_given_has_what_margin_it_leaves() -> None:
    assert sizes(laid(model_with(96), overlap=64)) == (512, 64, 0)
    assert sizes(laid(model_with(96), overlap=128)) == (512, 128, 32)
    assert sizes(laid(model_with(96), window=1024, overlap=512)) == (1024, 512, 96)


def test_a_margin_that_is_asked_for_is_given_whatever_it_costs() -> None:
    assert laid(model_with(0), margin=200).margin.value == 200
    assert sizes(laid(model_with(0), window=512, margin=96)) == (512, 256, 96)


def test_windows_that_score_worse_are_left_out() -> None:
    assert laid(model_with(96)).window.value > 724
    small = laid(model_with(96, scores=(0.5, 0.5, 0.4)))
    assert small.window.value < 724
    assert small.margin.value < 96  # within the same work


def test_one_window_that_holds_the_scene_needs_no_margin() -> None:
    assert laid(model_with(96), (300, 500)).margin.value == 0


def test_of_a_model_without_a_margin_the_scene_is_asked_once_and_only_if_there_is_need() -> None:
    asked = []

    def probe() -> dict[str, EdgeResponse]:
        asked.append(1)
        return model_with(40).measured.edges

    for shape, named in (((500, 500), {}), (SCENE, {"overlap": 64}), (SCENE, {"margin": 0})):
        assert wanted_margin(unknown(), Settings(**named), shape, probe).px == 0
    assert not asked
    found = wanted_margin(unknown(), Settings(), SCENE, probe)
    assert (found.px, asked) == (40, [1])
    assert "of this scene" in found.why
    nothing = wanted_margin(unknown(), Settings(), SCENE, dict)
    assert nothing.px == 0
    assert "large enough" in nothing.why
