"""A prepared data set: one Zarr v3 group, a group for each scene, a sharded array for each layer.

Patches are read from it window by window, so that it may be larger than memory, and inner chunks of 256 pixels are
what a patch costs to read. The group's attributes say what the data set is; they are written last, so a
preparation that was interrupted is no data set.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import zarr
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from zarr.codecs import BloscCodec

from rsmtl.datasets.layout import Rectangle
from rsmtl.datasets.scene import SPLITS, About, LabelledScene, Layer, SceneSource, Split, Splits
from rsmtl.errors import InputError, explain
from rsmtl.models.spec import ClassSpec, Name, Scale
from rsmtl.radiometry import Radiometry
from rsmtl.store.place import disk_errors

INNER_PX, SHARD_PX = 256, 2048
"""Edges of what is decoded to get one pixel, and of a file."""
_KEY = "rsmtl_dataset"
_FORMAT = 1


class PreparedScene(BaseModel):
    """A scene of the store."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    group: Annotated[str, Field(pattern=r"^[0-9]{4,12}$")]
    name: str
    areas: dict[Split, tuple[tuple[int, int, int, int], ...]]
    """What each split has of it: rectangles `(y0, y1, x0, x1)`, none for all of it."""
    scales: dict[Name, Scale]
    radiometry: dict[Name, Radiometry]
    """By layer, as fitted to this scene."""
    gsd_m: dict[Name, float] = {}
    """By layer, where it is known."""


class _Header(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    config: dict[str, Any]
    """What was prepared: the data set's name and options."""
    bands: dict[str, tuple[str, ...]]
    classes: tuple[ClassSpec, ...]
    radiometry: dict[str, Radiometry]
    scenes: tuple[PreparedScene, ...]


@dataclass(frozen=True)
class ZarrLayer:
    """An array of the store, opened where it is used: it travels to other processes as its path."""

    store: Path
    array: str

    @property
    def shape(self) -> tuple[int, ...]:
        """As that of the array."""
        return self._open().shape

    def __getitem__(self, key: Any) -> Any:
        with _damage_named(self.store / self.array):
            return self._open()[key]

    def _open(self) -> "zarr.Array[Any]":
        found = _OPENED.get((self.store, self.array))
        if found is None:
            with _damage_named(self.store / self.array):
                found = zarr.open_array(self.store / self.array, mode="r")
                if found.nchunks_initialized != found.nchunks:
                    raise ValueError("files of it are missing")
            _OPENED[self.store, self.array] = found
        return found


_OPENED: dict[tuple[Path, str], "zarr.Array[Any]"] = {}
"""Metadata is read once in a process."""


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Turn whatever Zarr raises for a file that is missing or broken into an `InputError` that names the array."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} is damaged or incomplete ({reason}): prepare the data set again") from error


def begin_store(store: Path) -> Path:
    """Make an empty store beside the one that is to be, and return its path; `complete_store` puts it in its place.

    Raises
    ------
    InputError
        If something stands there that rsmtl did not prepare.
    RunError
        If the store cannot be written.
    """
    if store.exists() and not is_prepared(store):
        raise InputError(f"{store} is no data set that rsmtl prepared: give a folder that it may replace")
    part = store.with_name(f".{store.name}.part")
    with disk_errors(part):
        if part.exists():
            shutil.rmtree(part)
        zarr.open_group(part, mode="w", zarr_format=3)
    return part


def write_scene(store: Path, group: str, source: SceneSource) -> PreparedScene:
    """Read a scene and write it into the store, replacing what an interrupted preparation left of it.

    Raises
    ------
    InputError
        If a file of the scene is missing or broken.
    RunError
        If the store cannot be written.
    """
    splits = source.open()
    scene = next(iter(splits.values()))
    with disk_errors(store):
        root = zarr.open_group(store / group, mode="w", zarr_format=3)
        for name, layer in scene.layers.items():
            _write_layer(root, name, layer)
    return PreparedScene(
        group=group,
        name=source.name,
        areas={split: tuple(map(_corners, one.areas)) for split, one in splits.items()},
        scales={name: layer.scale for name, layer in scene.layers.items()},
        radiometry={name: layer.radiometry for name, layer in scene.layers.items()},
        gsd_m={name: layer.gsd_m for name, layer in scene.layers.items() if layer.gsd_m},
    )


def complete_store(
    part: Path, store: Path, config: Mapping[str, Any], about: About, scenes: Sequence[PreparedScene]
) -> None:
    """Say what a store holds, and put it in the place of the one that was there; raises `RunError` if that fails."""
    header = _Header(
        format=_FORMAT,
        config=dict(config),
        bands=dict(about.bands),
        classes=about.classes,
        radiometry=dict(about.radiometry),
        scenes=tuple(scenes),
    )
    with disk_errors(store):
        zarr.open_group(part, mode="a", zarr_format=3).attrs[_KEY] = header.model_dump(mode="json")
        old = store.with_name(f".{store.name}.old")
        if store.exists():
            store.rename(old)
        part.rename(store)
        shutil.rmtree(old, ignore_errors=True)
    _OPENED.clear()


def is_prepared(store: Path) -> bool:
    """Whether a store holds a data set that is complete."""
    try:
        return _KEY in zarr.open_group(store, mode="r").attrs
    except (OSError, ValueError, KeyError):
        return False


def open_prepared(store: Path, config: Mapping[str, Any]) -> Splits:
    """Open a prepared data set; pixels are read when patches are.

    Parameters
    ----------
    config
        The data set that is wanted: its name and options.

    Raises
    ------
    InputError
        If the store is incomplete, damaged, or was prepared of another data set or with other options.
    """
    try:
        found = zarr.open_group(store, mode="r").attrs.get(_KEY)
        if found is None:
            raise InputError(f"{store} is no data set that rsmtl prepared: give another folder of data")
        header = _Header.model_validate(found)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = explain(error) if isinstance(error, ValidationError) else " ".join(str(error).split())
        raise InputError(
            f"{store} is no data set that rsmtl prepared ({reason}): prepare it again"
        ) from error
    if header.config != dict(config):
        raise InputError(
            f"{store} was prepared as {header.config}, the training wants {dict(config)}: prepare it so, elsewhere, or "
            "change the training's `data`"
        )
    scenes = [(one, _open_scene(store, one)) for one in header.scenes]
    parts = {
        split: tuple(
            scene.within(tuple(_rectangle(corners) for corners in one.areas[split]))
            for one, scene in scenes
            if split in one.areas
        )
        for split in SPLITS
    }
    return Splits(About(header.bands, header.classes, header.radiometry), **parts)


def _open_scene(store: Path, scene: PreparedScene) -> LabelledScene:
    layers = {
        name: Layer(
            ZarrLayer(store, f"{scene.group}/{name}"),
            scene.radiometry[name],
            Fraction(scale),
            scene.gsd_m.get(name),
        )
        for name, scale in scene.scales.items()
    }
    return LabelledScene(scene.name, layers)


def _write_layer(root: zarr.Group, name: str, layer: Layer) -> None:
    """Write shard by shard, so that a layer may be larger than memory."""
    *leading, height, width = layer.values.shape
    rows, cols = (min(SHARD_PX, -(-length // INNER_PX) * INNER_PX) for length in (height, width))
    array = root.create_array(
        name,
        shape=layer.values.shape,
        dtype=np.asarray(layer.values[..., :1, :1]).dtype,
        chunks=(*leading, INNER_PX, INNER_PX),
        shards=(*leading, rows, cols),
        compressors=BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"),
        config={"write_empty_chunks": True},  # so that a file that is missing is not taken for zeros
    )
    for y, x in product(range(0, height, rows), range(0, width, cols)):
        shard = (..., slice(y, y + rows), slice(x, x + cols))
        array[shard] = np.asarray(layer.values[shard])


def _corners(area: Rectangle) -> tuple[int, int, int, int]:
    y, x = area
    return y.start, y.stop, x.start, x.stop


def _rectangle(corners: tuple[int, int, int, int]) -> Rectangle:
    y0, y1, x0, x1 = corners
    return slice(y0, y1), slice(x0, x1)
