"""What a scene is: named inputs, lazily read, on grids of their own or aligned to one reference grid."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import xarray as xr
from dask.base import normalize_token
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rsmtl.errors import RsmtlError, RunError
from rsmtl.scene.reason import reason
from rsmtl.shown import Shown, few


@dataclass(frozen=True)
class Storage:
    """How an input's values are stored: `physical = stored × scale + offset`, band by band."""

    dtype: str
    """NumPy name of the stored type (`uint16`)."""
    nodata: float | None = None
    """Stored sentinel; None where the file names none."""
    scale: tuple[float, ...] = (1.0,)
    """One number for all bands, or one per band."""
    offset: tuple[float, ...] = (0.0,)
    masked: bool = False
    """True if pixels can be invalid without a sentinel: internal mask, alpha band, NaN."""


@dataclass(frozen=True)
class SourceFile:
    """A file the scene was read from, with what tells whether it has changed."""

    href: str
    size_bytes: int | None = None
    version: str = ""
    """What is known of it, such as times of a file or the etag of a server (`sources.py`); empty if that is nothing."""


@dataclass(frozen=True, repr=False)
class SceneInput(Shown):
    """One named input of a scene, read lazily."""

    name: str
    data: xr.DataArray
    """`(band, y, x)` float32 physical values, NaN where invalid; backed by a file or by Dask, never loaded."""
    geobox: GeoBox
    storage: Storage
    bands: tuple[str, ...]
    scale: Fraction = Fraction(1)
    """Pixels per reference pixel along one axis; true once the scene is aligned."""
    alignment: str = "native"
    """`native`, or the sentence that says how it was brought onto its grid (for the provenance)."""
    parts: tuple["SceneInput", ...] = ()
    """Only before alignment, for an input whose bands lie on several grids (10 m and 20 m, say): all its bands,
    in order, grid by grid. `data` and `geobox` are then those of the finest one alone, `bands` are all."""
    sources: tuple[SourceFile, ...] = ()
    """The files the pixels come from."""
    palette: Mapping[int, tuple[int, int, int]] = field(default_factory=dict)
    """Of indices into a colour table, what they look like; empty for values."""

    def facts(self) -> dict[str, str]:
        """Return bands, grid and storage."""
        height, width = self.geobox.shape
        crs = self.geobox.crs
        code = crs.to_epsg() if crs is not None else None
        unit = "" if crs is None else {"metre": " m"}.get(str(crs.units[0]), "°" if crs.geographic else "")
        return {
            "name": self.name,
            "bands": few(self.bands),
            "size": f"{height:,} × {width:,} px of {abs(self.geobox.resolution.x):g}{unit}",
            "CRS": f"EPSG:{code}" if code else "without a code" if crs is not None else "none",
            "stored as": self.storage.dtype
            + ("" if self.storage.nodata is None else f", nodata {self.storage.nodata:g}"),
        }

    def read(self, y: slice, x: slice) -> NDArray[np.float32]:
        """Return `(bands, H, W)` float32 of the pixels asked for, in this input's own grid, NaN where invalid.

        Raises
        ------
        RunError
            If the pixels cannot be read: the file is damaged, gone, or its server does not answer.
        """
        try:
            region = self.data.isel(y=y, x=x).compute(scheduler="synchronous")
        except (RsmtlError, MemoryError):
            raise
        except Exception as error:  # rasterio, zarr, stackstac and fsspec each raise what they like
            raise RunError(
                f"input {self.name!r} cannot be read at rows {y.start} to {y.stop}, columns {x.start} to {x.stop} "
                f"({reason(error)}): the file is damaged or its server does not answer"
            ) from error
        return np.asarray(region.values, dtype=np.float32)


@dataclass(frozen=True, repr=False)
class Scene(Shown):
    """One acquisition."""

    id: str
    inputs: Mapping[str, SceneInput]
    sources: tuple[SourceFile, ...] = ()
    properties: Mapping[str, Any] = field(default_factory=dict)
    """STAC properties that a product inherits (`datetime`, `platform`, …)."""
    item_href: str = ""
    """Where the STAC item the scene came from stands; empty if it came from plain files."""
    opened_with: Mapping[str, Any] = field(default_factory=dict)
    """The arguments of `open_scene` that open this scene again; empty for a scene made in memory."""

    @property
    def nowhere(self) -> str:
        """The sentence that says so if the scene lies nowhere on the Earth; empty if it does."""
        if all(found.geobox.crs is not None for found in self.inputs.values()):
            return ""
        return "has no coordinate reference system, and what is made of it has none either: it lies on no map"

    def facts(self) -> dict[str, str]:
        """Return the time, and each input in a few words."""
        when = self.properties.get("datetime") or self.properties.get("start_datetime")
        found = {"id": self.id, **({"time": str(when)} if when else {})}
        for one in self.inputs.values():
            told = one.facts()
            found[one.name] = f"{told['bands']}; {told['size']}, {told['CRS']}, {told['stored as']}"
        return found

    def __dask_tokenize__(self) -> Any:
        """Say what tells this scene from another one, without reading it as Dask would do by itself."""
        grids = [(i.name, i.geobox, i.bands, i.scale, i.alignment) for i in self.inputs.values()]
        # of a scene in memory the values count; `.data` would load what is lazy, `._data` is what will read it
        pixels = () if self.sources else tuple(i.data.variable._data for i in self.inputs.values())
        return normalize_token((type(self), self.id, self.sources, grids, dict(self.opened_with), pixels))
