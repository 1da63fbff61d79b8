"""From patches of a data set to what a system is fed with and judged by."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from torch import Tensor

from rsmtl.datasets import LABELS, LabelledScene, Patches
from rsmtl.datasets.reduced import low_resolution
from rsmtl.errors import InputError
from rsmtl.models.spec import ModelSpec

Batch = dict[str, Tensor]
"""Inputs and targets by name: of one example `(C, H, W)` and `(H, W)`, of a batch with N before."""


@dataclass(frozen=True)
class Feeding:
    """How a patch of the data becomes an example for a system."""

    factor: int
    """Above 1, the image of the data is what super-resolution shall give (`sr`), and the input is made from it."""
    layers: frozenset[str]
    """What the system needs of the data."""

    def example(self, patch: Mapping[str, Tensor]) -> Batch:
        """Return inputs and targets."""
        patch = {name: values for name, values in patch.items() if name in self.layers}
        if self.factor == 1:
            return patch
        return {**patch, "sr": patch["image"], "image": low_resolution(patch["image"], self.factor)}


@dataclass(frozen=True)
class Examples:
    """The examples of one epoch."""

    patches: Patches
    feeding: Feeding

    def __getitem__(self, index: int) -> Batch:
        return self.feeding.example(self.patches[index])


def feeding_of(spec: ModelSpec, scenes: tuple[LabelledScene, ...], patch_px: int, window_px: int) -> Feeding:
    """Return how scenes feed a system whose finest head has the data's reference grid.

    Raises
    ------
    InputError
        If the data lack a layer of the system, or have it at another scale, or the edges of patches or validation
        windows do not fit the system.
    """
    factor = max(Fraction(head.scale) for head in spec.heads)
    needed = {one.name: Fraction(one.scale) if factor == 1 else Fraction(1) for one in spec.inputs}
    needed |= {head.name: Fraction(1) for head in spec.heads if head.name in (LABELS, "hrms")}
    for scene in scenes:
        layers = {name: layer.scale for name, layer in scene.layers.items()}
        for name, scale in needed.items():
            if layers.get(name) != scale:
                there = ", ".join(f"{layer} at scale {own}" for layer, own in layers.items())
                raise InputError(
                    f"{spec.system} needs {name} at scale {scale}, but {scene.name} has {there}: use other data, or "
                    "configure the model for them"
                )
    for name, edge in (("sampling.patch_px", patch_px), ("validation_px", window_px)):
        if edge % (factor * spec.divisor):
            raise InputError(
                f"{spec.system} needs edges that are multiples of {factor * spec.divisor}: got {name} {edge}"
            )
    return Feeding(int(factor), frozenset({*needed, "counted"}))
