"""How the seam check looks at an image: which channels, what of them an eye can see, in which unit."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rsmtl.engine.outputs import PROBABILITY_STEPS
from rsmtl.engine.pieces import Piece
from rsmtl.engine.seam import Unit
from rsmtl.scene.scene import SceneInput

N_CHANNELS = 8
"""Bands that are looked at, evenly spread, or classes, the most frequent."""
VISIBLE_RANGE = 0.005
"""A band is visible from this share of an output's range (2nd to 98th percentile) on, in a picture that is stretched to
it: about one grey level of 255."""
VISIBLE_SHARE = 0.01
"""The same of class maps and probabilities."""
SAMPLE_STEP_PX = 8
"""Every so-manyth row and column of the pieces tells the range of values."""

Region = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""`(channels, H, W)` values and which of the pixels `(H, W)` count."""


@dataclass(frozen=True)
class Look:
    """How an output is looked at."""

    name: str
    nodata: Any
    is_classes: bool
    channels: tuple[int, ...]
    """Bands, or classes."""
    names: tuple[str, ...]
    visible: NDArray[np.float64]
    """`(channels,)`: the least contrast that an eye sees, in stored values or shares of pixels."""
    unit: Unit
    per_unit: float
    """What one of the unit is in these."""

    def regions(
        self, of: Iterable[tuple[Piece, NDArray[Any]]], taken: list[Piece]
    ) -> Iterator[tuple[Piece, Region]]:
        """Yield pieces with their regions, and write down which they were."""
        for piece, values in of:
            taken.append(piece)
            yield piece, self._region(values)

    def _region(self, values: NDArray[Any]) -> Region:
        """Return the channels of stored values `(bands, H, W)`."""
        if self.is_classes:
            planes = values[0] == np.array(self.channels, values.dtype)[:, None, None]
            return planes.astype(np.float32), _valid(values, self.nodata)[0]
        chosen = values[list(self.channels)]
        valid: NDArray[np.bool_] = _valid(chosen, self.nodata).all(0)
        return chosen.astype(np.float32), valid


def look_of(array: xr.DataArray, name: str, seen: Sequence[NDArray[Any]]) -> Look:
    """Decide how to look at an output from what was read of it."""
    nodata, bands = array.attrs.get("_FillValue"), array.attrs.get("long_name", "")
    sample = np.concatenate(
        [one[:, ::SAMPLE_STEP_PX, ::SAMPLE_STEP_PX].reshape(len(one), -1) for one in seen], 1
    )
    if "flag_values" in array.attrs:
        values, counts = np.unique(sample[_valid(sample, nodata)], return_counts=True)
        classes = tuple(values[np.argsort(-counts, kind="stable")][:N_CHANNELS].tolist())
        named = dict(
            zip(array.attrs["flag_values"], array.attrs.get("flag_meanings", "").split(), strict=False)
        )
        names = tuple(named.get(one, f"class {one}") for one in classes)
        visible = np.full(len(classes), VISIBLE_SHARE)
        return Look(name, nodata, True, classes, names, visible, "% of the pixels", 0.01)
    channels = tuple(np.unique(np.linspace(0, len(array) - 1, N_CHANNELS).round().astype(int)).tolist())
    names = tuple(str(bands if isinstance(bands, str) else bands[k]) for k in channels)
    if array.attrs.get("head", name) != name:  # a confidence or probabilities
        per_unit = PROBABILITY_STEPS / 100
        visible = np.full(len(channels), VISIBLE_SHARE * PROBABILITY_STEPS)
        return Look(name, nodata, False, channels, names, visible, "% of probability", per_unit)
    ends = [
        np.percentile(band[_valid(band, nodata)], (2, 98)) if _valid(band, nodata).any() else (0, 0)
        for band in sample[list(channels)]
    ]
    visible = VISIBLE_RANGE * np.array([high - low for low, high in ends])
    return Look(name, nodata, False, channels, names, visible, "" if array.dtype.kind == "f" else "DN", 1.0)


def stored_region(array: xr.DataArray, piece: Piece) -> NDArray[Any] | None:
    """Read the stored values of a piece; None if none is valid."""
    values: NDArray[Any] = array[(slice(None), *piece.region)].values
    return values if _valid(values, array.attrs.get("_FillValue")).any() else None


def input_region(found: SceneInput, shape: tuple[int, ...], piece: Piece) -> Region:
    """Read the pixels of an input that lie under those of an output."""
    wanted = [
        np.arange(span.start, span.stop) * length // size
        for span, length, size in zip(piece.region, found.geobox.shape, shape, strict=True)
    ]
    rows, cols = (slice(int(one[0]), int(one[-1]) + 1) for one in wanted)
    values = found.read(rows, cols)[:N_CHANNELS][:, (wanted[0] - rows.start)[:, None], wanted[1] - cols.start]
    valid: NDArray[np.bool_] = np.isfinite(values).all(0)
    return values, valid


def _valid(values: NDArray[Any], nodata: Any) -> NDArray[np.bool_]:
    there = np.isfinite(values) if values.dtype.kind == "f" else np.ones(values.shape, bool)
    return there if nodata is None else there & (values != np.asarray(nodata).astype(values.dtype))
