"""Scenes of one's own as a data set: rasters, Zarr stores or STAC items, layers of one GSD or several."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pydantic import BaseModel, ConfigDict, Field, model_validator

from rsmtl.datasets.scene import LABELS, SPLITS, About, Layer, SceneSource
from rsmtl.errors import InputError
from rsmtl.losses import IGNORE
from rsmtl.models.spec import ClassSpec
from rsmtl.radiometry import Radiometry
from rsmtl.scene.grid import check_lies_on
from rsmtl.scene.ground import ground_gsd_m
from rsmtl.scene.open import open_truth
from rsmtl.scene.scene import SceneInput

Files = dict[str, str]
"""From a layer (`image`, or `pan` and `ms`; `segmentation`; `hrms`) to a path, relative to the folder, or a URL."""

_SAMPLE_PX = 1024
"""Edge of the lattice of pixels from which percentiles are taken."""


class ScenesData(BaseModel):
    """Which files make which scene, and what they mean."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["scenes"] = "scenes"
    train: tuple[Files, ...] = Field(min_length=1)
    validation: tuple[Files, ...] = Field(min_length=1)
    test: tuple[Files, ...] = ()
    bands: dict[str, tuple[str, ...]]
    """Names of the bands of each layer but the labels."""
    classes: tuple[ClassSpec, ...] = ()
    """What the labels 0, 1, … mean; 255, and what is nodata or masked, does not count."""
    radiometry: dict[str, Radiometry] = {}
    """Of each input; percentiles 2 and 98 of each scene unless given."""

    @model_validator(mode="after")
    def _consistent(self) -> "ScenesData":
        split_of: dict[str, str] = {}
        for split in SPLITS:
            for file in {file for files in getattr(self, split) for file in files.values()}:
                if split_of.setdefault(file, split) != split:
                    raise ValueError(
                        f"{file} is in two splits, {split_of[file]} and {split}: a scene belongs to one"
                    )
        names = [one.name for one in self.classes]
        if len(set(names)) != len(names):
            raise ValueError(f"the names of classes must differ, got {', '.join(names)}")
        for name, radiometry in self.radiometry.items():
            n_bands = len(self.bands.get(name, ()))
            if len(radiometry.low) not in (1, n_bands):
                raise ValueError(
                    f"the radiometry of {name!r} has {len(radiometry.low)} numbers for {n_bands} bands: "
                    "give one, or one for each"
                )
        return self

    def about(self) -> About:
        """Return what all scenes have in common."""
        return About(self.bands, self.classes, {name: self._radiometry(name) for name in self.bands})

    def sources(self, folder: Path) -> tuple[SceneSource, ...]:
        """List the scenes; none is opened."""
        return tuple(
            SceneSource(f"{split} {number}", split, partial(_open, self, folder, files))
            for split in SPLITS
            for number, files in enumerate(getattr(self, split), start=1)
        )

    def _radiometry(self, layer: str) -> Radiometry:
        default = Radiometry(kind="percentile", low=(2.0,), high=(98.0,))
        return self.radiometry.get("ms" if layer == "hrms" else layer, default)


@dataclass(frozen=True)
class _Lazy:
    """A raster that is read window by window."""

    source: SceneInput

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.data.shape

    def __getitem__(self, key: Any) -> NDArray[Any]:
        sides = (key if isinstance(key, tuple) else (key,))[1:] or (slice(None), slice(None))
        return self.source.read(*sides)


@dataclass(frozen=True)
class _LazyLabels(_Lazy):
    """One band of class numbers; what is not valid is `IGNORE`."""

    n_classes: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.data.shape[-2:]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        sides = key[-2:] if isinstance(key, tuple) and len(key) > 1 else (slice(None), slice(None))
        values = np.nan_to_num(self.source.read(*sides)[0], nan=IGNORE)
        wrong = (values != IGNORE) & ((values < 0) | (values >= self.n_classes))
        if wrong.any():
            raise InputError(
                f"label {values[wrong][0]:g} in {self.source.sources[0].href} is none of the {self.n_classes} classes: "
                f"list its class in `data.classes`, or renumber it ({IGNORE} does not count)"
            )
        labels: NDArray[np.uint8] = values.astype(np.uint8)
        return labels


def _open(data: ScenesData, folder: Path, files: Files) -> Mapping[str, Layer]:
    opened = {name: open_truth(_located(folder, file)) for name, file in files.items()}
    reference = opened.get("pan") or opened.get("image")
    if reference is None:
        raise InputError(f"a scene needs a layer `image` or `pan`, got {', '.join(files)}")
    layers = {}
    for name, source in opened.items():
        scale = _scale(files[name], source, reference)
        if name == LABELS:
            layers[name] = Layer(_LazyLabels(source, len(data.classes)), scale=scale)
            continue
        if len(source.bands) != len(data.bands.get(name, ())):
            raise InputError(
                f"{files[name]} has {len(source.bands)} band(s), `data.bands` names {len(data.bands.get(name, ()))} "
                f"for {name!r}: they must agree"
            )
        layers[name] = Layer(_Lazy(source), data._radiometry(name), scale, ground_gsd_m(source.geobox))
    return {
        name: layer if name == LABELS else replace(layer, radiometry=_fitted(name, layers))
        for name, layer in layers.items()
    }


def _fitted(name: str, layers: Mapping[str, Layer]) -> Radiometry:
    """Measure percentiles on a lattice of the scene's pixels; HRMS has the values of MS."""
    layer = layers["ms" if name == "hrms" and "ms" in layers else name]
    if layer.radiometry.kind == "fixed":
        return layer.radiometry
    height, width = layer.values.shape[-2:]
    steps = (slice(None, None, -(-length // _SAMPLE_PX)) for length in (height, width))
    return layer.radiometry.fit(np.asarray(layer.values[(slice(None), *steps)], dtype=np.float32))


def _located(folder: Path, file: str) -> str:
    return file if "://" in file else str(folder / file)


def _scale(file: str, source: SceneInput, reference: SceneInput) -> Fraction:
    """Pixels of a layer per pixel of the reference: the same ratio along both axes, whole one way or the other."""
    rows, cols = (
        Fraction(own, other)
        for own, other in zip(source.data.shape[-2:], reference.data.shape[-2:], strict=True)
    )
    if rows != cols or 1 not in (rows.numerator, rows.denominator):
        raise InputError(
            f"{file} has {source.data.shape[-2:]} pixels, the scene's reference {reference.data.shape[-2:]}: layers "
            "of a training must cover the same ground in a whole ratio; bring them there first"
        )
    grid = reference.geobox
    wanted = GeoBox(source.geobox.shape, grid.affine @ Affine.scale(float(1 / rows)), grid.crs)
    check_lies_on(file, source.geobox, "the grid of the scene's reference, in a whole ratio", wanted)
    return rows
