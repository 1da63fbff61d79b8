"""The group of the square: eight elements, each undone, MS and PAN kept registered."""

import pytest
import torch

from rsmtl.symmetry import GROUPS, Symmetry


def test_the_dihedral_group_has_eight_different_elements_and_the_rotations_four() -> None:
    corner = torch.arange(4).reshape(2, 2)
    assert len({tuple(s.apply(corner).flatten().tolist()) for s in GROUPS["dihedral"]}) == 8
    assert GROUPS["dihedral"][:4] == GROUPS["rotations"]
    assert GROUPS["none"] == (Symmetry(0, False),)


@pytest.mark.parametrize("symmetry", GROUPS["dihedral"])
def test_undo_gives_back_what_was(symmetry: Symmetry) -> None:
    values = torch.rand(2, 3, 4, 6)
    assert torch.equal(symmetry.undo(symmetry.apply(values)), values)


@pytest.mark.parametrize("symmetry", GROUPS["dihedral"])
def test_inputs_of_two_scales_stay_registered(symmetry: Symmetry) -> None:
    pan = torch.rand(1, 1, 16, 16)
    ms = torch.nn.functional.avg_pool2d(pan, 4)
    turned = torch.nn.functional.avg_pool2d(symmetry.apply(pan), 4)
    assert torch.allclose(turned, symmetry.apply(ms))
