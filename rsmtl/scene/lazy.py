"""Arrays that are read region by region, when somebody asks: the seam between inputs and where they come from."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core.indexing import (
    ExplicitIndexer,
    IndexingSupport,
    LazilyIndexedArray,
    explicit_indexing_adapter,
)


class BandReader(Protocol):
    """Reads a region of all bands of one input. Readers pickle and may be called from several threads."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(bands, H, W)`."""
        ...

    def read(self, y: slice, x: slice) -> NDArray[np.float32]:
        """Return `(bands, h, w)` float32 physical values, NaN where invalid; the slices have start < stop."""
        ...


class LazyBands(BackendArray):
    """Lets xarray index a `BandReader` without loading it."""

    def __init__(self, reader: BandReader) -> None:
        self.reader = reader
        self.shape = reader.shape
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, key: ExplicitIndexer) -> Any:
        return explicit_indexing_adapter(key, self.shape, IndexingSupport.BASIC, self._region)

    def _region(self, key: tuple[int | slice, ...]) -> NDArray[np.float32]:
        asked = np.broadcast_to(np.float32(np.nan), self.shape)[key]  # a view: only its shape is of use
        if asked.size == 0:
            return np.empty(asked.shape, np.float32)
        (rows, row_step), (cols, col_step) = (
            _span(k, n) for k, n in zip(key[1:], self.shape[1:], strict=True)
        )
        return self.reader.read(rows, cols)[key[0], row_step, col_step]


def _span(key: int | slice, size: int) -> tuple[slice, int | slice]:
    """Return the pixels to read along one axis, and the index that picks those asked for out of them."""
    if isinstance(key, slice):
        start, stop, step = key.indices(size)
        return slice(start, stop), slice(None, None, step)
    return slice(int(key), int(key) + 1), 0


def lazy_bands(reader: BandReader, bands: Sequence[str]) -> xr.DataArray:
    """Return a `(band, y, x)` float32 array over a reader; nothing is read."""
    variable = xr.Variable(("band", "y", "x"), LazilyIndexedArray(LazyBands(reader)))
    return xr.DataArray(variable, coords={"band": list(bands)})
