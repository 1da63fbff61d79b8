"""The product's Zarr v3 store: a group per GSD, an array per output, a shard per chunk."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from zarr.abc.buffer import Buffer as AnyBuffer
from zarr.buffer.cpu import Buffer
from zarr.codecs import BloscCodec
from zarr.storage import FsspecStore, MemoryStore

from rsmtl.errors import PlanError, RunError
from rsmtl.store.folder import STORE_NAME
from rsmtl.store.grid import grid_coordinates, output_geobox
from rsmtl.store.output import Output
from rsmtl.store.place import Place, disk_errors, is_object, read, remove, store_errors, write_bytes

_INNER_PX = 384
"""Edge aimed at (between 256 and 512) for a shard's inner chunks: what a reader decodes to get one pixel."""


def group_name(geobox: GeoBox) -> str:
    """Return a grid's name: its GSD in the unit of its CRS (`10m`, `2.5m`, `0.0001deg`, `2x1m`).

    Without a CRS the unit is that of the transform, mostly a pixel of the image: `1units`, `0.5units`.
    """
    sizes = [f"{abs(size):.6g}" for size in (geobox.resolution.x, geobox.resolution.y)]
    unit = "units" if geobox.crs is None else str(geobox.crs.units[0])
    short = {"metre": "m", "meter": "m", "degrees_north": "deg"}.get(unit, unit.replace(" ", "_"))
    return "x".join(dict.fromkeys(sizes)) + short


def create_store(folder: Place, outputs: Sequence[Output], reference: GeoBox, chunk_px: int) -> None:
    """Create the product's store in `folder`: metadata and coordinates only, every pixel nodata.

    In a store that stands, what is missing of these or damaged is mended and the rest left as it is, so that a resumed
    run calls this too.

    Parameters
    ----------
    reference
        Reference grid of the scene.
    chunk_px
        Edge of a chunk in reference pixels; an output's shard is the same ground in its own pixels.

    Raises
    ------
    PlanError
        If a chunk is not a whole number of pixels of some output.
    RunError
        If the store cannot be written.
    """
    wanted = _metadata(outputs, reference, chunk_px)
    for name in _differing(folder, wanted):
        write_bytes(folder / STORE_NAME / name, wanted[name])


def damaged_metadata(
    folder: Place, outputs: Sequence[Output], reference: GeoBox, chunk_px: int
) -> tuple[str, ...]:
    """Return the files that `create_store` would mend: those of a store that are no pixels."""
    return tuple(
        f"{STORE_NAME}/{name}" for name in _differing(folder, _metadata(outputs, reference, chunk_px))
    )


def _metadata(outputs: Sequence[Output], reference: GeoBox, chunk_px: int) -> dict[str, bytes]:
    """Return the files of a new store; that of the whole comes last."""
    groups = defaultdict(list)
    for output in outputs:
        groups[group_name(output_geobox(reference, output))].append(output)
    held: dict[str, AnyBuffer] = {}
    for name, members in groups.items():
        _create_group(MemoryStore(held), name, members, reference, chunk_px)
    return {name: held[name].to_bytes() for name in sorted(held, key=lambda name: (-name.count("/"), name))}


def _differing(folder: Place, wanted: Mapping[str, bytes]) -> list[str]:
    return [name for name, content in wanted.items() if read(folder / STORE_NAME / name) != content]


def write_shard(folder: Place, output: Output, y0: int, x0: int, array: NDArray[Any]) -> str:
    """Write one whole shard, the only unit that two writers never share, and return its `content_hash`.

    The shard's file is on the disk when this returns; a reader sees the old one or the whole new one.

    Parameters
    ----------
    y0, x0
        First pixel of the shard in the output's own grid.
    array
        `(bands, H, W)` of the output's dtype: the shard, clipped at the scene's end.

    Raises
    ------
    ValueError
        If the region is not exactly one shard, or the array not of the output's dtype.
    RunError
        If the shard cannot be written.
    """
    location = _array_folder(folder, output.name)
    target, held = _in_memory(location, array)
    edge = _check_whole_shard(target, output.name, y0, x0, array)
    name = f"c/0/{y0 // edge}/{x0 // edge}"
    target[:, y0 : y0 + array.shape[1], x0 : x0 + array.shape[2]] = array
    if name in held:
        write_bytes(location / name, held[name].to_bytes())
    else:  # zarr stores no file for a shard that is nodata throughout
        with disk_errors(location / name):
            remove(location / name)
    return content_hash(array)


def _in_memory(location: Place, array: NDArray[Any]) -> tuple[zarr.Array[Any], dict[str, AnyBuffer]]:
    """Return an empty array like one that is stored, and what will hold its shards, as zarr encodes them.

    Written in place, zarr would read the old shard first (and stumble on a broken one), and the new one would be
    seen before it is on the disk. Where no inner chunk of `array` can be nodata throughout, zarr is told not to look.
    """
    held: dict[str, AnyBuffer] = {"zarr.json": Buffer.from_bytes(read(location / "zarr.json") or b"")}
    found = zarr.open_array(MemoryStore(held), mode="r+")
    fill, corners = found.fill_value, array[:, :: found.chunks[1], :: found.chunks[2]]
    if (np.isnan(corners) if fill != fill else corners == fill).any():
        return found, held
    return found.with_config({"write_empty_chunks": True}), held


def read_region(folder: Place, output: Output, y: slice, x: slice) -> NDArray[Any]:
    """Return `(bands, H, W)` of the stored values; what was never written is nodata."""
    array = zarr.open_array(_zarr_store(_array_folder(folder, output.name)), mode="r")
    return np.asarray(array[:, y, x])


def open_product(folder: Place) -> dict[str, xr.Dataset]:
    """Open a product lazily: a georeferenced dataset per group, each array `(<name>_band, y, x)` as stored.

    Values are not scaled or masked; `_FillValue`, `scale_factor` and `add_offset` are in the attributes.
    """
    store = _zarr_store(folder / STORE_NAME)
    return {
        name: xr.open_zarr(
            store, group=name, consolidated=False, chunks=None, decode_coords="all", mask_and_scale=False
        )
        for name in sorted(zarr.open_group(store, mode="r"))
    }


def content_hash(array: NDArray[Any]) -> str:
    """Return the sha256 of an array's dtype, shape and values, whatever their layout in memory or on disk."""
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _create_group(
    store: MemoryStore, name: str, outputs: list[Output], reference: GeoBox, chunk_px: int
) -> None:
    """Let xarray write the metadata of a group from a template whose pixels are never computed."""
    geobox = output_geobox(reference, outputs[0])
    template = xr.Dataset(coords=grid_coordinates(geobox, "y", "x"))
    encoding = {}
    for output in outputs:
        shape = (len(output.bands), *geobox.shape)
        empty = da.zeros(shape, chunks=shape, dtype=output.dtype)
        template[output.name] = ((f"{output.name}_band", "y", "x"), empty, attributes(output))
        encoding[output.name] = _encoding(output, chunk_px)
    template.to_zarr(
        store, group=name, mode="w-", zarr_format=3, consolidated=False, compute=False, encoding=encoding
    )


def attributes(output: Output) -> dict[str, Any]:
    """CF attributes of an output; rioxarray takes `long_name` for the descriptions of the bands."""
    found: dict[str, Any] = {
        "long_name": output.bands[0] if len(output.bands) == 1 else list(output.bands),
        "description": output.description,
        "head": output.head,
        "grid_mapping": "spatial_ref",
        **_linear("scale_factor", "band_scales", output.band_scale, 1.0),
        **_linear("add_offset", "band_offsets", output.band_offset, 0.0),
    }
    if output.mask:
        found["ancillary_variables"] = output.mask
    if output.mask_of:
        found |= {
            "standard_name": "status_flag",
            "flag_values": np.array([0, 255], dtype=output.dtype),
            "flag_meanings": "nodata valid",
        }
    if output.unit:
        found["units"] = output.unit
    if output.classes:
        found["flag_values"] = np.arange(len(output.classes), dtype=output.dtype)  # CF: of the data's type
        found["flag_meanings"] = " ".join("_".join(c.name.split()) for c in output.classes)
        found["flag_colors"] = " ".join("#{:02x}{:02x}{:02x}".format(*c.color) for c in output.classes)
    return found


def _linear(cf_name: str, own_name: str, numbers: tuple[float, ...], neutral: float) -> dict[str, Any]:
    """Return the CF attribute if all bands share a number; CF has none for bands that differ."""
    if len(set(numbers)) > 1:
        return {own_name: list(numbers)}
    return {} if numbers[0] == neutral else {cf_name: numbers[0]}


def _encoding(output: Output, chunk_px: int) -> dict[str, Any]:
    edge = chunk_px * output.scale
    if edge.denominator != 1:
        raise PlanError(
            f"a chunk of {chunk_px} reference pixels is {edge} pixels of {output.name!r} at scale "
            f"{output.scale}, which is not a whole number: "
            f"choose a window and an overlap whose difference is a multiple of {output.scale.denominator}"
        )
    shard, n_bands = edge.numerator, len(output.bands)
    inner = _inner_edge(shard)
    itemsize = np.dtype(output.dtype).itemsize
    encoding: dict[str, Any] = {
        "shards": (n_bands, shard, shard),
        "chunks": (1, inner, inner),
        "compressors": _codec(itemsize),
    }
    if output.nodata is not None:
        encoding["_FillValue"] = encoding["fill_value"] = np.dtype(output.dtype).type(output.nodata)
    return encoding


def _codec(itemsize: int) -> BloscCodec:
    """Return what compresses pixels, chosen by measurement (CONTRIBUTING, Measured).

    Values are noisy: LZ4 leaves 7 % more than Zstandard and takes a third of its time. Classes shrink to a tenth with
    Zstandard, to a quarter with LZ4, and take little time in either.
    """
    if itemsize == 1:
        return BloscCodec(cname="zstd", clevel=1, typesize=1, shuffle="noshuffle")
    return BloscCodec(cname="lz4", clevel=3, typesize=itemsize, shuffle="bitshuffle")


def _inner_edge(shard: int) -> int:
    """Return the divisor of a shard's edge that is nearest to `_INNER_PX`, in ratio."""
    divisors = [d for d in range(1, shard + 1) if shard % d == 0]
    return min(divisors, key=lambda d: max(d / _INNER_PX, _INNER_PX / d))


def _array_folder(folder: Place, name: str) -> Place:
    """Find an array by its name alone, as names differ within a product."""
    with store_errors(folder):
        groups = (folder / STORE_NAME).glob("*")
        found = next((group / name for group in groups if (group / name / "zarr.json").exists()), None)
    if found is None:
        raise RunError(
            f"{folder / STORE_NAME} holds no array {name!r}: it was removed, or another model's run made it; "
            "run again with --overwrite"
        )
    return found


def _zarr_store(path: Place) -> Path | FsspecStore:
    """Return what zarr reads a group or an array from."""
    if is_object(path):
        return FsspecStore.from_url(str(path), storage_options=dict(path.storage_options), read_only=True)
    return Path(path)


def _check_whole_shard(target: zarr.Array[Any], name: str, y0: int, x0: int, array: NDArray[Any]) -> int:
    """Refuse what is not exactly one shard; return the edge of a shard."""
    assert target.shards is not None
    edge = int(target.shards[-1])
    n_bands, height, width = target.shape
    if y0 % edge or x0 % edge:
        raise ValueError(
            f"a shard of {name!r} starts at multiples of {edge} pixels, got ({y0}, {x0}): "
            "two writers would share one"
        )
    whole = (n_bands, min(edge, height - y0), min(edge, width - x0))
    if array.shape != whole:
        raise ValueError(
            f"the shard of {name!r} at ({y0}, {x0}) has shape {whole}, got {array.shape}: write it whole"
        )
    if array.dtype != target.dtype:
        raise ValueError(f"{name!r} is stored as {target.dtype}, got {array.dtype}")
    return edge
