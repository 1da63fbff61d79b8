"""The eight symmetries of a square, for test-time augmentation and for augmenting patches."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Symmetry:
    """Quarter turns counter-clockwise, and then a mirroring from left to right."""

    turns: int
    mirrored: bool

    def apply(self, values: Tensor) -> Tensor:
        """Return `(…, H, W)` turned and mirrored; height and width swap with an odd number of turns."""
        turned = torch.rot90(values, self.turns, dims=(-2, -1)) if self.turns else values
        return turned.flip(-1) if self.mirrored else turned

    def undo(self, values: Tensor) -> Tensor:
        """Return `(…, H, W)` as it was before `apply`."""
        straight = values.flip(-1) if self.mirrored else values
        return torch.rot90(straight, -self.turns, dims=(-2, -1)) if self.turns else straight


def _all(mirrored: Iterable[bool]) -> tuple[Symmetry, ...]:
    return tuple(Symmetry(turns, mirror) for mirror in mirrored for turns in range(4))


GROUPS: dict[str, tuple[Symmetry, ...]] = {
    "none": (Symmetry(0, False),),
    "rotations": _all([False]),
    "mirrors": (Symmetry(0, False), Symmetry(2, False), Symmetry(0, True), Symmetry(2, True)),
    "dihedral": _all([False, True]),
}
"""What test-time augmentation averages over, as many as divide a float exactly; and what patches are drawn from."""
