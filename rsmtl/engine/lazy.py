"""`predict`: a lazy dataset whose slices run the windows they need and no other."""

import warnings
from collections.abc import Hashable
from fractions import Fraction
from functools import partial
from itertools import product
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rsmtl.config import Settings
from rsmtl.engine.kernel import Partial, finish_area, run_chunk
from rsmtl.engine.plan import Plan, plan
from rsmtl.errors import SceneWarning
from rsmtl.lattice import Area, Axis, Chunk, Zone
from rsmtl.models.model import Model
from rsmtl.scene.scene import Scene
from rsmtl.store.grid import grid_coordinates, output_geobox
from rsmtl.store.output import Output

Graph = dict[Hashable, Any]


def predict(
    scene: Scene, model: Model, settings: Settings | None = None, *, any_gsd: bool = False
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
    any_gsd
        Take a scene more than 1.5 times finer or coarser than what the model was trained on, too.

    Returns
    -------
    xarray.Dataset
        One Dask-backed variable per output, `(y, x)` for class maps and confidences, `(<name>_band, y, x)` for
        the rest, in stored values, georeferenced. Outputs whose scale is not 1 have dimensions of their own,
        such as `y_x4` and `x_x4`, or `y_x1of4` and `x_x1of4`.

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
    arrays = [
        _georeferenced(_array(made, output, token, graph), output, made.geobox) for output in made.outputs
    ]
    return xr.Dataset({array.name: array for array in arrays})


def _georeferenced(array: da.Array, output: Output, reference: GeoBox) -> xr.DataArray:
    """Coordinates, CRS and attributes around an array `(band, y, x)`; a single band loses its dimension."""
    suffix = "" if output.scale == 1 else "_x" + str(output.scale).replace("/", "of")
    y, x = f"y{suffix}", f"x{suffix}"
    coords: dict[Hashable, Any] = dict(grid_coordinates(output_geobox(reference, output), y, x))
    coords["spatial_ref"].attrs.pop(
        "GeoTransform", None
    )  # one CRS for all grids; each has its own coordinates
    attrs = {
        "long_name": output.description,
        "scale_factor": output.band_scale[0] if len(output.band_scale) == 1 else list(output.band_scale),
        "add_offset": output.band_offset[0] if len(output.band_offset) == 1 else list(output.band_offset),
    }
    if output.unit:
        attrs["units"] = output.unit
    if output.nodata is not None:
        attrs["nodata"] = output.nodata
    if output.classes:
        attrs["flag_values"] = list(range(len(output.classes)))
        attrs["flag_meanings"] = " ".join(c.name.replace(" ", "_") for c in output.classes)
    dims: tuple[str, ...] = (y, x)
    if len(output.bands) > 1:
        dims = (f"{output.name}_band", y, x)
        coords[dims[0]] = list(output.bands)
    else:
        array = array[0]
    found = xr.DataArray(array, coords=coords, dims=dims, name=output.name, attrs=attrs)
    found.encoding["grid_mapping"] = "spatial_ref"
    return found


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
