"""An xarray variable that is sliced before it is rechunked, so that even chunks cost a slice nothing."""

from typing import Any

import dask.array as da
import xarray as xr


class SliceableVariable(xr.Variable):
    """A variable whose Dask array may have been rechunked; a slice is cut from the blocks below, and rechunked then.

    Blocks that depend on as few windows as possible have the sizes of strips and cores in turn. Zarr, COG writers and
    most of what Dask does need even chunks, but an even chunk depends on the windows of its neighbours too, and Dask
    computes a whole chunk for any slice of it. Slicing and rechunking commute, so a slice can be taken first. (A
    subclass of Dask's array could do the same, but xarray refuses to compute with arrays of two classes.)
    """

    __slots__ = ()

    def __getitem__(self, key: Any) -> "SliceableVariable":
        data: Any = self._data  # `.data` would load what xarray reads lazily
        blocks = _before_rechunking(data)
        if blocks is None:
            return super().__getitem__(key)
        cut = xr.Variable(self._dims, blocks, self._attrs, self._encoding)[key]
        return evenly_chunked(cut, dict(zip(self._dims, data.chunksize, strict=True)))


def evenly_chunked(variable: xr.Variable, edges: dict[Any, int]) -> SliceableVariable:
    """Return the variable with chunks of one edge along each of the dimensions named; the last may be smaller."""
    sizes = {
        axis: max(1, min(edges[dim], variable.sizes[dim]))
        for axis, dim in enumerate(variable.dims)
        if dim in edges
    }
    even = variable.data.rechunk(sizes, method="tasks") if sizes else variable.data
    return SliceableVariable(variable.dims, even, variable.attrs, variable.encoding)


def _before_rechunking(data: Any) -> da.Array | None:
    """Return the array that a Dask array was rechunked from, if its graph still tells; None for any other data."""
    if not isinstance(data, da.Array):
        return None
    graph, name = data.dask, data.name
    while name.startswith("rechunk-merge-") and len(below := graph.dependencies.get(name, ())) == 1:
        name = next(iter(below))
    facts = getattr(graph.layers.get(name), "collection_annotations", None) or {}
    if name == data.name or facts.get("shape") != data.shape:
        return None
    return da.Array(graph, name, facts["chunks"], meta=data)
