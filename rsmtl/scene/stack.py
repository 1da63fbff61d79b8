"""One input out of several: bands that come from different files, on one grid or on several."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rsmtl.scene.arrays import per_band
from rsmtl.scene.grid import same_grid
from rsmtl.scene.lazy import lazy_bands
from rsmtl.scene.raster import one_or_all
from rsmtl.scene.scene import SceneInput, Storage


@dataclass(frozen=True)
class StackReader:
    """Reads regions of several arrays on one grid as the bands of one."""

    arrays: tuple[xr.DataArray, ...]
    """`(band, y, x)` each."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(bands, H, W)`."""
        return (sum(a.sizes["band"] for a in self.arrays), *self.arrays[0].shape[1:])  # type: ignore[return-value]

    def read(self, y: slice, x: slice) -> NDArray[np.float32]:
        """Return `(bands, h, w)` float32 physical values, NaN where invalid."""
        return np.concatenate([a.isel(y=y, x=x).values for a in self.arrays])


def combine(name: str, members: Sequence[SceneInput]) -> SceneInput:
    """Return one input with the bands of several, in order.

    On one grid they are joined here; on several the input keeps them apart in `parts` until `align` brings
    them onto the finest grid.
    """
    runs: list[list[SceneInput]] = []
    for member in members:
        if runs and same_grid(runs[-1][0].geobox, member.geobox):
            runs[-1].append(member)
        else:
            runs.append([member])
    parts = tuple(join(name, run) for run in runs)
    if all(same_grid(parts[0].geobox, part.geobox) for part in parts):
        return join(name, parts)
    return replace(join(name, parts), data=_finest(parts).data, geobox=_finest(parts).geobox, parts=parts)


def join(name: str, members: Sequence[SceneInput]) -> SceneInput:
    """Return one input with the bands of several that lie on one grid, in order."""
    if len(members) == 1:
        return replace(members[0], name=name)
    bands = tuple(band for member in members for band in member.bands)
    return SceneInput(
        name=name,
        data=lazy_bands(StackReader(tuple(m.data for m in members)), bands),
        geobox=members[0].geobox,
        storage=_joint_storage(members),
        bands=bands,
        sources=tuple(dict.fromkeys(source for member in members for source in member.sources)),
    )


def _finest(parts: Sequence[SceneInput]) -> SceneInput:
    """Return the part with the smallest pixels, of those in the CRS of the first: others cannot be compared."""
    comparable = [part for part in parts if part.geobox.crs == parts[0].geobox.crs]
    return min(comparable, key=lambda part: abs(part.geobox.resolution.x * part.geobox.resolution.y))


def _joint_storage(members: Sequence[SceneInput]) -> Storage:
    stored = [m.storage for m in members]
    sentinels = {s.nodata for s in stored}
    return Storage(
        dtype=np.result_type(*(s.dtype for s in stored)).name,
        nodata=stored[0].nodata if len(sentinels) == 1 else None,
        scale=one_or_all([v for m in members for v in per_band(m.storage.scale, len(m.bands))]),
        offset=one_or_all([v for m in members for v in per_band(m.storage.offset, len(m.bands))]),
        masked=any(s.masked for s in stored) or len(sentinels) > 1,
    )
