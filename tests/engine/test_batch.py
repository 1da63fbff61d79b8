"""Windows are cut and padded the same whichever chunk they belong to."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rsmtl.engine.batch import batches, cut, reflection
from rsmtl.lattice import Lattice, Span


@given(st.integers(1, 60), st.integers(1, 200))
def test_reflection_is_numpys(available: int, size: int) -> None:
    if size < available:
        return
    expected = np.pad(np.arange(available), (0, size - available), mode="reflect")
    assert (reflection(available, size) == expected).all()


def test_a_window_past_the_scene_is_reflected_and_one_inside_is_not_copied() -> None:
    region = torch.arange(20.0).reshape(1, 4, 5)
    inside = cut(region, Span(1, 3), Span(0, 5))
    assert inside.data_ptr() == region[:, 1:].data_ptr()
    assert torch.equal(
        cut(region, Span(2, 6), Span(4, 6))[0], torch.tensor([[14.0, 14], [19, 19], [14, 14], [19, 19]])
    )


@pytest.mark.parametrize("batch", [1, 2, 3, 7])
def test_batches_have_one_shape_and_hold_every_window_once(batch: int) -> None:
    lattice = Lattice(50, 40, window=16, overlap=4, strides_per_chunk=10)
    windows, region = lattice.windows_of((0, 0)), torch.rand(2, 50, 40) + 1
    found = list(batches(windows, [(region, Fraction(1))], lattice.region((0, 0)), batch))
    assert [w for members, _ in found for w in members] == windows
    assert {stack.shape for _, (stack,) in found} == {(batch, 2, 16, 16)}
    members, (stack,) = found[-1]
    assert (stack[len(members) :] == 0).all()
    for slot, window in zip(stack, members, strict=False):
        assert torch.equal(slot, cut(region, window.y, window.x))


def test_an_input_of_another_scale_is_cut_at_its_own_pixels() -> None:
    lattice = Lattice(64, 64, window=32, overlap=8, strides_per_chunk=1)
    windows, origin = lattice.windows_of((1, 1)), lattice.region((1, 1))
    ms = torch.rand(3, *(span.scaled(Fraction(1, 4)).size for span in origin))
    (_, (stack,)), *_ = batches(windows, [(ms, Fraction(1, 4))], origin, 1)
    assert stack.shape == (1, 3, 8, 8)
    assert torch.equal(stack[0], ms[:, :8, :8])


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_gpu_cuts_and_reflects_alike() -> None:
    region = torch.rand(2, 20, 30)
    for y, x in ((Span(0, 16), Span(3, 19)), (Span(12, 28), Span(20, 36))):
        assert torch.equal(cut(region.cuda(), y, x).cpu(), cut(region, y, x))
