"""How a head depends on the distance to a window's edge is found, and the margin is where that ends."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rsmtl import blend
from rsmtl.models.margin import EdgeResponse, Measured, edge_responses, largest_window, with_margins
from rsmtl.models.spec import HeadSpec, ModelSpec
from tests import fakes

WINDOW = 128


def mean_of(values: Tensor, radius: int) -> Tensor:
    """The mean of a square around each pixel, where what lies beyond the window counts as 0."""
    edge = 2 * radius + 1
    return nn.functional.avg_pool2d(values, edge, stride=1, padding=radius)


def spec_of(*heads: HeadSpec, divisor: int = 1, margin: int | None = None) -> ModelSpec:
    given = {} if margin is None else {"margin": margin}
    return ModelSpec.model_validate(
        {"system": "fake", "inputs": (fakes.image_input(1),), "heads": heads, "divisor": divisor} | given
    )


def regions(n: int = 4) -> list[list[Tensor]]:
    return [[torch.from_numpy(fakes.textured((1, 160 + k, 160)))] for k in range(n)]


@pytest.mark.parametrize(("radius", "margin"), [(0, 0), (4, 8), (11, 16), (20, 24)])
def test_the_margin_is_as_far_as_padding_is_seen(radius: int, margin: int) -> None:
    spec = spec_of(fakes.continuous("same", 1))
    found = edge_responses(spec, lambda v: {"same": mean_of(v[0], radius)}, regions(), WINDOW)["same"]
    assert found.floor == found.floor_bias == 0
    assert radius <= margin  # but for the last pixels, whose share of padding is next to nothing
    assert found.margin in (margin, margin - found.bin_px)
    assert found.reached
    if radius:
        assert found.bias[0] < -0.05  # zeros beyond the edge make it darker
        assert found.p99[0] > found.difference[0]


def test_heads_have_margins_of_their_own_on_grids_of_their_own() -> None:
    spec = spec_of(
        fakes.continuous("fine", 1, scale=Fraction(2)), fakes.continuous("coarse", 1, scale=Fraction(1, 4))
    )

    def run(inputs: list[Tensor]) -> dict[str, Tensor]:
        fine = mean_of(inputs[0], 3).repeat_interleave(2, 2).repeat_interleave(2, 3)
        return {"fine": fine, "coarse": nn.functional.avg_pool2d(mean_of(inputs[0], 22), 4)}

    found = edge_responses(spec, run, regions(), WINDOW)
    assert found["fine"].margin <= 8 < 16 <= found["coarse"].margin <= 24


def test_what_depends_on_the_place_in_a_window_needs_no_margin_for_that() -> None:
    spec = spec_of(fakes.continuous("same", 1))
    module = fakes.PositionDependent()
    found = edge_responses(spec, lambda v: module(v[0]), regions(), WINDOW)["same"]
    assert found.floor > 0.01
    assert found.margin == 0


def test_classes_are_compared_as_classes() -> None:
    head = HeadSpec(name="kind", channels=1, kind="classes", activation="sigmoid")
    spec = spec_of(head)
    found = edge_responses(spec, lambda v: {"kind": mean_of(v[0], 5)}, regions(), WINDOW)["kind"]
    assert found.difference[0] > 0.05 > found.floor == 0
    assert (found.margin, found.bias, found.spread) == (8, (), 1.0)


def test_a_window_too_small_to_reach_the_floor_gives_no_margin_to_the_spec() -> None:
    spec = spec_of(fakes.continuous("same", 1))
    edges = edge_responses(spec, lambda v: {"same": mean_of(v[0], 40)}, regions(), WINDOW)
    assert not edges["same"].reached
    assert with_margins(spec, Measured(edges=edges)).heads[0].margin is None


@pytest.mark.parametrize(
    ("divisor", "shortest", "expected"), [(1, 1000, 512), (32, 640, 512), (32, 639, 480), (32, 20, 0)]
)
def test_the_largest_window_that_a_scene_holds(divisor: int, shortest: int, expected: int) -> None:
    assert largest_window(spec_of(fakes.continuous("same", 1), divisor=divisor), shortest, 512) == expected


def test_a_larger_margin_is_expected_to_deviate_less() -> None:
    edge = EdgeResponse(
        window=256,
        bin_px=8,
        difference=(0.5, 0.2, *(0.1,) * 14),
        bias=(-0.4, *(0.0,) * 15),
        floor=0.1,
        spread=2.0,
    )
    none, some = (edge.expected(blend.axis_weights(256, 64, m, False, False, "linear")) for m in (0, 16))
    assert none[0] > some[0] == pytest.approx(0.05)
    assert none[1] < some[1] == 0
    flat = edge.expected(np.ones(256))
    assert flat[1] == pytest.approx(2 * -0.4 * 16 / 256 / 2)


def test_a_margin_of_a_model_is_that_of_its_heads_and_none_of_older_cards_is_unknown() -> None:
    heads = (fakes.continuous("a", 1), fakes.continuous("b", 1).model_copy(update={"margin": 7}))
    assert [h.margin for h in spec_of(*heads, margin=3).heads] == [3, 7]
    assert [h.margin for h in spec_of(*heads, margin=0).heads] == [None, 7]
    with pytest.raises(ValueError, match="margin"):
        spec_of(*heads, margin=-1)
