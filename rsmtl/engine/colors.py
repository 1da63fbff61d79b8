"""Labels given as the colours of classes: in three bands, or as indices into a colour table."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsmtl.models.spec import ClassSpec

Color = tuple[int, int, int]

NO_CLASS = -1

MOST_UNLABELLED = 0.25
"""Share of the pixels of a truth that may have a colour of no class. Label images keep a colour for what nobody
labelled (up to 19 % of a mask of the Dubai data set); where more is of no class, the colours are not the classes'."""


@dataclass(frozen=True)
class ColorCount:
    """How many pixels of a truth have colours of classes."""

    n_px: int = 0
    """That are valid."""
    n_no_class: int = 0
    n_other: int = 0
    """Whose colour is that of another class than their number."""
    stray: Color | None = None
    """One colour of no class."""

    @property
    def are_labels(self) -> bool:
        """Whether the colours are those of the classes."""
        return self.n_no_class <= MOST_UNLABELLED * self.n_px

    @property
    def share(self) -> str:
        """The share of the pixels whose colour is no class's, for people."""
        return f"{self.n_no_class / self.n_px:.2%} of the pixels"


def added(counts: Iterable[ColorCount]) -> ColorCount:
    """Return the count of all parts."""
    total = ColorCount()
    for one in counts:
        total = ColorCount(
            total.n_px + one.n_px,
            total.n_no_class + one.n_no_class,
            total.n_other + one.n_other,
            total.stray or one.stray,
        )
    return total


def label_colors(classes: tuple[ClassSpec, ...]) -> dict[Color, int]:
    """Return classes by colour: by those of label images and those shown, or, if these clash, by the former alone.

    Empty if two classes have one colour, which then says of neither that it is meant.
    """
    drawn = [(one.mask_color or one.color, index) for index, one in enumerate(classes)]
    shown = [(one.color, index) for index, one in enumerate(classes)]
    for pairs in ([*drawn, *shown], drawn):
        found = dict(pairs)
        if len(found) == len(set(pairs)):
            return found
    return {}


def count_colors(
    values: NDArray[np.int64],
    known: NDArray[np.bool_],
    palette: Mapping[int, Color],
    classes: tuple[ClassSpec, ...],
) -> ColorCount:
    """Count labels `(bands, H, W)` by what their colours say; arguments as `classes_of_colors`."""
    found = classes_of_colors(values, palette, classes)
    strange = known & (found == NO_CLASS)
    other = known & ~strange & (found != values[0]) if palette else np.zeros_like(known)
    stray = None
    if strange.any():
        first = tuple(int(value) for value in values[:, strange][:, 0])
        stray = palette.get(first[0], (0, 0, 0)) if palette else (first[0], first[1], first[2])
    return ColorCount(int(known.sum()), int(strange.sum()), int(other.sum()), stray)


def classes_of_colors(
    values: NDArray[np.int64], palette: Mapping[int, Color], classes: tuple[ClassSpec, ...]
) -> NDArray[np.int64]:
    """Return class indices `(H, W)`; `NO_CLASS` for a colour of no class.

    Parameters
    ----------
    values
        `(3, H, W)` red, green and blue, or `(1, H, W)` indices into a colour table.
    palette
        The colour table; empty for three bands.
    """
    meant = label_colors(classes)
    table: dict[tuple[int, ...], int] = dict(meant.items())
    if palette:
        table = {(index,): meant[color] for index, color in palette.items() if color in meant}
    if not table:
        return np.full(values.shape[1:], NO_CLASS, dtype=np.int64)
    edge = 1 + max(map(max, table))
    inside = ((values >= 0) & (values < edge)).all(axis=0)
    codes = np.ravel_multi_index(tuple(np.clip(values, 0, edge - 1)), (edge,) * len(values))
    keys, indices = np.array(
        [(int(np.ravel_multi_index(label, (edge,) * len(label))), table[label]) for label in sorted(table)]
    ).T
    place = np.minimum(np.searchsorted(keys, codes), len(keys) - 1)
    return np.where(inside & (keys[place] == codes), indices[place], NO_CLASS)
