"""What stands in a product's store, as arrays."""

from typing import Any

import numpy as np
import odc.geo.xr  # noqa: F401  # the accessor that knows an array's grid
import xarray as xr
from numpy.typing import NDArray

from rsmtl.engine.plan import Plan
from rsmtl.errors import InputError
from rsmtl.lattice import Chunk
from rsmtl.store.output import Output
from rsmtl.store.place import Place, refuse_silence
from rsmtl.store.zarr import open_product, read_region


def stored_array(folder: Place, name: str) -> xr.DataArray:
    """Return a stored array `(band, y, x)`, lazily; with a coordinate `valid` `(y, x)` if it has a mask.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    for group in open_product(folder).values():
        if name in group:
            return with_mask(group, name)
    raise InputError(f"the store in {folder} has no array {name!r}: make the product anew with --overwrite")


def with_mask(group: xr.Dataset, name: str) -> xr.DataArray:
    """Return an array of a product's group; with a coordinate `valid` `(y, x)` if it has a mask."""
    array = group[name]
    mask = array.attrs.get("ancillary_variables")
    return array if mask is None else array.assign_coords(valid=group[mask][0].variable)


def physical(stored: xr.DataArray) -> NDArray[np.float64]:
    """Return an array's physical values `(bands, H, W)`, NaN where nodata or not valid by its mask."""
    values = stored.values.astype(np.float64)
    nodata = stored.attrs.get("_FillValue")
    if nodata is not None:
        values[stored.values == np.asarray(nodata).astype(stored.dtype)] = np.nan
    if "valid" in stored.coords:
        values[:, stored.valid.values == 0] = np.nan
    scale, offset = (
        np.reshape(stored.attrs.get(key, default), (-1, 1, 1))
        for key, default in (("scale_factor", 1.0), ("add_offset", 0.0))
    )
    return np.asarray(values * scale + offset)


def stored_chunk(plan: Plan, folder: Place, chunk: Chunk, output: Output) -> NDArray[Any]:
    """Return what stands of a chunk; nothing where it cannot be read, which is no error here but a finding.

    Raises
    ------
    RunError
        If the store does not answer.
    """
    y, x = plan.lattice.y.chunk_span(chunk[0]), plan.lattice.x.chunk_span(chunk[1])
    try:
        return read_region(folder, output, y.scaled(output.scale).slice, x.scaled(output.scale).slice)
    except MemoryError:
        raise
    except Exception as error:  # zarr raises whatever a damaged byte leads it to
        refuse_silence(folder, error)
        return np.empty(0)
