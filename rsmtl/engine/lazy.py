"""`predict`: a lazy dataset whose slices run the windows they need and no other."""

import warnings
from collections.abc import Hashable
from fractions import Fraction
from functools import partial
from itertools import product
from math import ceil
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from numpy.typing import NDArray

from rsmtl.config import Settings
from rsmtl.engine.kernel import Partial, finish_area, run_chunk
from rsmtl.engine.plan import Plan, plan
from rsmtl.engine.sliceable import evenly_chunked
from rsmtl.errors import SceneWarning
from rsmtl.lattice import Area, Axis, Chunk, Zone
from rsmtl.models.model import Model
from rsmtl.scene.scene import Scene
from rsmtl.store.grid import grid_coordinates, output_geobox
from rsmtl.store.output import Output
from rsmtl.store.zarr import attributes

Graph = dict[Hashable, Any]

_SCALING = {"scale_factor", "add_offset", "band_scales", "band_offsets"}


def predict(
    scene: Scene,
    model: Model,
    settings: Settings | None = None,
    *,
    decode: bool = False,
    any_gsd: bool = False,
) -> xr.Dataset:
    """Return a model's heads over a scene, computed only where and when they are asked for.

    Parameters
    ----------
    scene
        As `open_scene` gives it.
    model
        As `load_model` or `Model.from_module` gives it.
    settings
        Window, overlap and so on; what they leave open is chosen. With no chunk named a chunk is one stride, and a
        slice runs exactly the windows that touch it; larger chunks make a smaller graph, and a slice then runs whole
        chunks.
    decode
        False gives the numbers that a product stores: integers where these are, nodata included (255 in a class map).
        True gives what `xarray.open_zarr` makes of them: physical values, NaN where not valid, floats. Use it to
        compute or plot; `.mean()` of stored numbers counts nodata.
    any_gsd
        Take a scene more than 1.5 times finer or coarser than what the model was trained on, too.

    Returns
    -------
    xarray.Dataset
        One Dask-backed variable per output, `(y, x)` for class maps and confidences, `(<name>_band, y, x)` for
        the rest, georeferenced. Outputs whose scale is not 1 have dimensions of their own, such as `y_x4` and `x_x4`,
        or `y_x1of4` and `x_x1of4`. Dask chunks are even, as Zarr and COG writers want them: a chunk's edge in `y` and
        `x`. A slice runs the windows that touch it if it is taken of the variable itself (`isel`, `sel`, `[…]`);
        taken of a result such as `heads.segmentation == 3`, it runs those of the Dask chunks that it touches.

        As CF, xarray and rioxarray have it, `_FillValue`, `scale_factor` and `add_offset` are attributes of stored
        values and the encoding of decoded ones. Both are therefore written alike by `to_zarr` and `to_netcdf`, and
        come back decoded. Class maps have `flag_values`, `flag_meanings` and `flag_colors`.

    Raises
    ------
    SceneError, PlanError
        If scene, model and settings do not go together. Nothing has been read but metadata and a coarse sample.

    Warns
    -----
    SceneWarning
        If many of the scene's pixels lie outside what the model expects.
    """
    made = plan(scene, model, settings or Settings(), default_chunk=1, any_gsd=any_gsd)
    for note in made.notes:
        warnings.warn(note, SceneWarning, stacklevel=2)
    token = tokenize(made.model, made.settings, made.scene)
    graph = _jobs(made, token)
    coords: dict[Hashable, Any] = {}
    variables = {}
    for output in made.outputs:
        coords |= _coords(made, output)
        stored = _stored(_array(made, output, token, graph), output)
        found = _decoded(stored, output) if decode else stored
        edge = ceil(made.lattice.y.chunk_px * output.scale)
        variables[output.name] = evenly_chunked(found, dict.fromkeys(_dims(output)[-2:], edge))
    return xr.Dataset(variables, coords)


def _dims(output: Output) -> tuple[str, ...]:
    """Of an output; those that are not on the reference grid have their own y and x, a single band has none."""
    suffix = "" if output.scale == 1 else "_x" + str(output.scale).replace("/", "of")
    bands = (f"{output.name}_band",) if len(output.bands) > 1 else ()
    return *bands, f"y{suffix}", f"x{suffix}"


def _coords(made: Plan, output: Output) -> dict[Hashable, Any]:
    """Pixel centres, CRS and names of bands."""
    *bands, y, x = _dims(output)
    coords: dict[Hashable, Any] = dict(grid_coordinates(output_geobox(made.geobox, output), y, x))
    coords["spatial_ref"].attrs.pop(
        "GeoTransform", None
    )  # one CRS for all grids; each has its own coordinates
    return coords | {band: np.array(output.bands, object) for band in bands}


def _stored(array: da.Array, output: Output) -> xr.Variable:
    """Stored values; attributes say how to decode them."""
    dims = _dims(output)
    attrs = attributes(output)
    encoding = {"grid_mapping": attrs.pop("grid_mapping")}
    del attrs[
        "long_name"
    ]  # names of bands, which a coordinate has here; plots would be labelled with all of them
    if output.nodata is not None:
        attrs["_FillValue"] = array.dtype.type(output.nodata)
    return xr.Variable(dims, array if len(dims) == 3 else array[0], attrs, encoding)


def _decoded(stored: xr.Variable, output: Output) -> xr.Variable:
    """Physical values, NaN where not valid."""
    pixel = _decoded_block(np.zeros((1,) * stored.ndim, stored.dtype), stored.dims, stored.attrs, output)
    values = stored.data.map_blocks(
        lambda block: _decoded_block(block, stored.dims, stored.attrs, output).values,
        dtype=pixel.dtype,
        name=f"decoded-{stored.data.name}",
    )
    return xr.Variable(stored.dims, values, pixel.attrs, stored.encoding | pixel.encoding)


def _decoded_block(
    block: NDArray[Any], dims: tuple[Hashable, ...], attrs: dict[str, Any], output: Output
) -> xr.Variable:
    """Let xarray decode a block, as when it reads one from a file; bands that differ in scale are unknown to CF."""
    if len(set(output.band_scale)) == len(set(output.band_offset)) == 1:
        return xr.conventions.decode_cf_variable(output.name, xr.Variable(dims, block, attrs))
    plain = {name: value for name, value in attrs.items() if name not in _SCALING}
    masked = xr.conventions.decode_cf_variable(output.name, xr.Variable(dims, block, plain))
    scale, offset = (np.array(one)[:, None, None] for one in (output.band_scale, output.band_offset))
    return xr.Variable(dims, masked.values * scale + offset, masked.attrs, {"_FillValue": np.nan})


def _jobs(made: Plan, token: str) -> Graph:
    """The plan once, and one job for each chunk that owns windows."""
    graph: Graph = {f"plan-{token}": made}
    for chunk in made.chunks:
        if made.lattice.owns_windows(chunk):
            graph[_partial_key(token, chunk)] = (partial(run_chunk, chunk=chunk), f"plan-{token}")
    return graph


def _array(made: Plan, output: Output, token: str, jobs: Graph) -> da.Array:
    """One output as a Dask array with a block for each area, so that a core never waits for a neighbour."""
    name = f"{output.name}-{token}"
    graph: Graph = {}
    rows, cols = _blocks(made.lattice.y), _blocks(made.lattice.x)
    for (i, (row, zy)), (j, (col, zx)) in product(enumerate(rows), enumerate(cols)):
        graph[name, 0, i, j] = _block_task(made, output, token, (row, col), (zy, zx))
    layers = {"jobs-" + token: jobs, name: graph}
    dependencies: dict[str, set[str]] = {"jobs-" + token: set(), name: {"jobs-" + token}}
    return da.Array(
        HighLevelGraph(layers, dependencies),
        name,
        chunks=(
            (len(output.bands),),
            _sizes(made.lattice.y, rows, output.scale),
            _sizes(made.lattice.x, cols, output.scale),
        ),
        dtype=np.dtype(output.dtype),
    )


def _blocks(axis: Axis) -> list[tuple[int, Zone]]:
    return [(k, zone) for k in range(axis.n_chunks) for zone in axis.zones(k) if zone != "after"]


def _sizes(axis: Axis, blocks: list[tuple[int, Zone]], scale: Fraction) -> tuple[int, ...]:
    return tuple(axis.zones(k)[zone].scaled(scale).size for k, zone in blocks)


def _partial_key(token: str, chunk: Chunk) -> tuple[str, int, int]:
    return (f"run_chunk-{token}", *chunk)


def _block_task(made: Plan, output: Output, token: str, chunk: Chunk, area: Area) -> tuple[Any, ...]:
    if area == ("core", "core"):
        return (partial(_core, name=output.name), _partial_key(token, chunk))
    sources = made.lattice.sources(chunk, area)
    task = partial(_strip, output=output, areas=[its for _, its in sources])
    return (task, f"plan-{token}", [_partial_key(token, source) for source, _ in sources])


def _core(found: Partial, name: str) -> NDArray[Any]:
    return found.core[name]


def _strip(made: Plan, found: list[Partial], output: Output, areas: list[Area]) -> NDArray[Any]:
    head = made.model.spec.head(output.head)
    sums = [partial.strips[head.name, area] for partial, area in zip(found, areas, strict=True)]
    return finish_area(made, head, sums)[output.name]
