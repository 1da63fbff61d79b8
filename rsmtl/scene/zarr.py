"""Zarr stores, v2 and v3: georeferenced variables, each an input or a band of one."""

import warnings
from collections.abc import Sequence

import numpy as np
import xarray as xr
import zarr

from rsmtl.errors import SceneError
from rsmtl.gdal import is_remote
from rsmtl.scene.arrays import input_from_array
from rsmtl.scene.limits import check_block
from rsmtl.scene.listed import listed
from rsmtl.scene.reason import reason
from rsmtl.scene.scene import SceneInput
from rsmtl.scene.sources import ZARR_METADATA, local_path, source_file


def is_zarr(href: str) -> bool:
    """Return whether a path or URL names a Zarr store or a group of one."""
    if is_remote(href):
        return ".zarr" in href
    path = local_path(href)
    try:
        return path.suffix == ".zarr" or (
            path.is_dir() and any((path / name).exists() for name in ZARR_METADATA)
        )
    except OSError:  # a name that is too long, for one: whoever opens it says so
        return False


def open_zarr(
    href: str, wanted: Sequence[str] | None = None, *, allow_no_crs: bool = False
) -> dict[str, SceneInput]:
    """Open variables of a Zarr group, by name; no pixel is read.

    A variable has its CRS in the encoding that rioxarray and GDAL use (`grid_mapping`, `spatial_ref`).
    Sentinel, scale and offset are decoded by xarray.

    Parameters
    ----------
    wanted
        Names of variables; None takes all that have two dimensions at least.
    allow_no_crs
        Take variables without a CRS, too.

    Raises
    ------
    SceneError
        If there is no such store or variable, or one does not lie on a grid that can be taken.
    """
    what = f"'{href}'"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # not consolidated: slower, not worse
            found = xr.open_dataset(
                href,
                engine="zarr",
                chunks=None,
                cache=False,
                decode_coords="all",
                decode_times=False,
                create_default_indexes=False,  # no coordinate is read before its size has been looked at
            )
    except Exception as error:  # zarr, fsspec and xarray raise what they like
        raise SceneError(
            f"{what} cannot be opened as a Zarr store ({reason(error)}): give a store that zarr reads"
        ) from error
    maps = {str(name): array for name, array in found.data_vars.items() if array.ndim >= 2}
    if not maps:
        groups = listed(f"'{href.rstrip('/')}/{name}'" for name in _groups(href))
        raise SceneError(f"{what} holds no array with y and x: name one of its groups instead ({groups})")
    missing = sorted(set(wanted or ()) - set(maps))
    if missing:
        raise SceneError(f"{what} has no variable {listed(missing)}: it has {listed(sorted(maps))}")
    chosen = {name: maps[name] for name in wanted or sorted(maps)}
    for name, array in chosen.items():
        _check_chunks(f"{what}, variable {name!r},", array)
    source = (source_file(href),)
    return {
        name: input_from_array(name, f"{what}, variable {name!r},", array, source, allow_no_crs=allow_no_crs)
        for name, array in chosen.items()
    }


def _check_chunks(what: str, array: xr.DataArray) -> None:
    """Refuse chunks of no size, or too large to be decoded; of shards, their inner chunks count."""
    stored = array.encoding
    shape, dtype = stored.get("chunks") or array.shape, np.dtype(stored.get("dtype") or array.dtype)
    if 0 in (stored.get("chunks") or ()):
        raise SceneError(f"{what} has chunks of no size: write it anew")
    check_block(what, tuple(shape), dtype.itemsize, "write it anew with smaller chunks")


def _groups(href: str) -> list[str]:
    try:
        return sorted(zarr.open_group(href, mode="r").group_keys())
    except Exception:  # only to make a message more helpful
        return []
