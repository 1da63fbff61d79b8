"""Where the pixels of an array lie: by its coordinates, and by the transform that its attributes hold.

Operations of xarray move the coordinates and leave a transform as it was. So coordinates count, which are those of
pixels' centres; the transform is taken where the two agree within the precision of the coordinates, as it is exact.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray

from rsmtl.errors import SceneError
from rsmtl.scene.reason import reason

EVEN_PX = 0.01
"""How far a coordinate may lie from the regular grid, in pixels, besides what its type rounds away."""
AGREE_PX = 1e-3
"""How far apart coordinates and transform may be, in pixels; nobody could see it."""
FINE_PX = 0.05
"""Coordinates whose type rounds by less may be off by two of its steps, as sums in float32 are."""
COARSE_PX = 0.5
"""Coordinates whose type rounds by more say nothing of pixels."""


@dataclass(frozen=True)
class _Axis:
    """Regularly spaced centres of pixels along one axis."""

    places: NDArray[np.float64]
    first: float
    step: float
    rounding: float
    """The steps of the coordinates' type there."""

    @property
    def edge(self) -> float:
        return self.first - self.step / 2

    def agrees(self, edge: float, step: float) -> bool:
        """Whether the axis of a transform has its centres where this one has them."""
        centres = edge + (np.arange(self.places.size) + 0.5) * step
        steps = 2.0 if self.rounding <= FINE_PX * abs(self.step) else 0.501
        slack = AGREE_PX * abs(self.step) + steps * self.rounding
        return bool(np.abs(centres - self.places).max() <= slack)


def transform_of(what: str, array: xr.DataArray, dims: tuple[str, str]) -> Affine:
    """Return the transform from pixels to coordinates of an array whose dimensions are `(y, x)`.

    Raises
    ------
    SceneError
        If its coordinates are no numbers, unevenly spaced or too coarse, if they contradict its transform in a way
        that leaves open which is right, or if it has neither.
    """
    said = _said(what, array)
    found = [_places(what, array, dim) for dim in dims]
    if said is not None and (said.b or said.d or all(places is None for places in found)):
        return said  # a turned grid has no coordinates of rows and columns
    lacking = [dim for dim, places in zip(dims, found, strict=True) if places is None]
    if said is None and lacking:
        raise SceneError(
            f"{what} has no coordinates {' and '.join(lacking)} and no GeoTransform: give it those of its pixels' "
            "centres"
        )
    stated = ((said.f, said.e), (said.c, said.a)) if said is not None else (None, None)
    if said is not None:
        found = _centres(what, array, found, stated)  # type: ignore[arg-type]
    rows, cols = (
        _axis(what, dim, array.sizes[dim], places, its)
        for dim, places, its in zip(dims, found, stated, strict=True)
    )
    if said is not None and rows.agrees(said.f, said.e) and cols.agrees(said.c, said.a):
        return said
    for dim, axis in zip(dims, (rows, cols), strict=True):
        if axis.rounding > COARSE_PX * abs(axis.step):
            raise SceneError(
                f"{what} has coordinates {dim} that are too coarse to tell its pixels apart (steps of "
                f"{axis.rounding:g}, pixels of {abs(axis.step):g}): store them as float64"
            )
    return Affine(cols.step, 0, cols.edge, 0, rows.step, rows.edge)


def _said(what: str, array: xr.DataArray) -> Affine | None:
    """Return the transform that the grid mapping or the attributes hold, as rioxarray looks for it."""
    mapping = array.encoding.get("grid_mapping", array.attrs.get("grid_mapping", "spatial_ref"))
    told = array.coords[mapping].attrs.get("GeoTransform") if mapping in array.coords else None
    try:
        if told is not None:
            numbers = told.split() if isinstance(told, str) else list(told)
            return Affine.from_gdal(*map(float, numbers))
        told = array.attrs.get("transform")
        return None if told is None else Affine(*map(float, list(told)[:6]))
    except (TypeError, ValueError) as error:
        raise SceneError(
            f"{what} has the transform {told!r}, which is none: write the right one with rioxarray's "
            "`rio.write_transform`"
        ) from error


def _places(what: str, array: xr.DataArray, dim: str) -> NDArray[np.number] | None:
    if dim not in array.coords:
        return None
    try:
        places = np.asarray(array[dim].values)
    except Exception as error:  # a store's codecs raise what they like
        raise SceneError(
            f"{what} has coordinates {dim} that cannot be read ({reason(error)}): give an undamaged store"
        ) from error
    if places.dtype.kind not in "iuf" or not np.isfinite(places).all():
        raise SceneError(
            f"{what} has coordinates {dim} that are no numbers: give those of its pixels' centres"
        )
    return places


def _axis(
    what: str, dim: str, size: int, places: NDArray[np.number] | None, stated: tuple[float, float] | None
) -> _Axis:
    """Fit a regular axis to coordinates; one that has none, or one pixel, has what is stated."""
    if places is None:
        assert stated is not None
        edge, step = stated
        return _Axis(
            np.asarray(edge + (np.arange(size) + 0.5) * step, np.float64), edge + step / 2, step, 0.0
        )
    numbers = places.astype(np.float64)
    if size == 1:
        if stated is None or not _Axis(numbers, numbers[0], stated[1], _rounding(places)).agrees(*stated):
            raise SceneError(
                f"{what} has one pixel along {dim}, so that its coordinates do not tell its size"
                + (", and they contradict its transform" if stated else "")
                + ": write the right transform with rioxarray's `rio.write_transform`"
            )
        return _Axis(numbers, numbers[0], stated[1], _rounding(places))
    index = np.arange(size)
    first, step = numbers[0], (numbers[-1] - numbers[0]) / (size - 1)
    rounding = _rounding(places)
    if np.abs(first + index * step - numbers).max() > AGREE_PX * abs(step):
        if places.dtype == np.float64 and (numbers == numbers.astype(np.float32)).all():
            rounding = _rounding(places.astype(np.float32))  # they were float32 once
        step, middle = np.polyfit(index - index.mean(), numbers, 1)
        first = middle - step * index.mean()
    off = np.abs(first + index * step - numbers).max()
    if not step or off > EVEN_PX * abs(step) + 2 * rounding:
        raise SceneError(
            f"{what} has unevenly spaced coordinates {dim}: interpolate it onto a regular grid first"
        )
    return _Axis(numbers, float(first), float(step), rounding)


def _rounding(places: NDArray[np.number]) -> float:
    """Return the distance to the next number of a type, where the coordinates are greatest."""
    return float(np.spacing(np.abs(places).max())) if places.dtype.kind == "f" else 0.0


_Stated = tuple[tuple[float, float], tuple[float, float]]


def _centres(
    what: str, array: xr.DataArray, found: list[NDArray[np.number] | None], stated: _Stated
) -> list[NDArray[np.number] | None]:
    """Return coordinates of centres; stackstac's, which are those of pixels' upper left corners, are moved there.

    Corners are told by the transform. After every second pixel was taken, or two became one, corners may lie where
    centres did before, and nobody can tell.
    """
    is_stackstac = type(array.attrs.get("spec")).__name__ == "RasterSpec"
    lie = [
        _lie(places, edge, step)
        for places, (edge, step) in zip(found, stated, strict=True)
        if places is not None
    ]
    if not lie or not (is_stackstac or all(one == ("corners", 1) for one in lie)):
        return found
    if is_stackstac and all(where == "centres" and every % 2 for where, every in lie):
        return found
    if is_stackstac and all(where == "corners" and every % 2 for where, every in lie):
        return [
            None if places is None else places.astype(np.float64) + step / 2
            for places, (_, step) in zip(found, stated, strict=True)
        ]
    raise SceneError(
        f"{what} has coordinates that may be those of its pixels' corners or of their centres, by its transform: make "
        'them those of centres (with stackstac by `xy_coords="center"`), and remove the transform where it is not that '
        "of the array any more (`array.attrs.pop('transform')`, `array.spatial_ref.attrs.pop('GeoTransform')`)"
    )


def _lie(places: NDArray[np.number], edge: float, step: float) -> tuple[str, int]:
    """Say whether coordinates lie on corners or centres of a grid, and at how many of its pixels there is one."""
    numbers = places.astype(np.float64)
    every = abs((numbers[-1] - numbers[0]) / (max(1, numbers.size - 1) * step)) if numbers.size > 1 else 1.0
    slack = AGREE_PX + 2 * _rounding(places) / abs(step)
    offset = (numbers[0] - edge) / step
    if abs(every - round(every)) > slack or not round(every):
        return "elsewhere", 1
    if abs(offset - round(offset)) <= slack:
        return "corners", round(every)
    return ("centres" if abs(offset - 0.5 - round(offset - 0.5)) <= slack else "elsewhere"), round(every)
