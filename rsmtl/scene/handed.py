"""What other libraries hand over in memory: items as of pystac-client, arrays as of xarray, odc-stac and stackstac."""

from collections.abc import Mapping, Sequence
from typing import Any

import pystac
import xarray as xr

from rsmtl.errors import SceneError
from rsmtl.scene.arrays import scene_from_arrays
from rsmtl.scene.listed import listed
from rsmtl.scene.profiles import Offset
from rsmtl.scene.scene import Scene
from rsmtl.scene.stac import as_stac
from rsmtl.scene.stack import combine

Handed = pystac.Item | pystac.ItemCollection | xr.DataArray | xr.Dataset | Mapping[str, Any]
"""An item or a collection of one, as objects or as JSON's mappings; an array, or a data set of arrays."""

_TIMES = ("time", "t")
"""What others call the dimension of the time, along which there may be one step only."""


def is_item(source: object) -> bool:
    """Whether this is an item, or items, of pystac's or as a mapping."""
    if isinstance(source, pystac.Item | pystac.ItemCollection):
        return True
    return isinstance(source, Mapping) and source.get("type") in ("Feature", "FeatureCollection")


def the_item(source: Any) -> pystac.Item:
    """Return the one item that is handed over.

    Raises
    ------
    SceneError
        If there are none or several, or it is no STAC.
    """
    if isinstance(source, pystac.Item):
        return source
    items = list(source.get("features") or []) if isinstance(source, Mapping) else list(source)
    if isinstance(source, Mapping) and source.get("type") == "Feature":
        items = [source]
    if len(items) != 1:
        names = listed(one.id if isinstance(one, pystac.Item) else one.get("id") for one in items)
        raise SceneError(
            f"a collection of {len(items):,} items ({names}) is no scene: open its items one by one"
        )
    if isinstance(items[0], pystac.Item):
        return items[0]
    item = as_stac(dict(items[0]), _self_of(items[0]))
    if not isinstance(item, pystac.Item):
        raise SceneError(
            f"a STAC {item.STAC_OBJECT_TYPE.value.lower()} is no scene: open its items one by one"
        )
    return item


def _self_of(document: Mapping[str, Any]) -> str | None:
    links = document.get("links") or ()
    return next((str(link["href"]) for link in links if link.get("rel") == "self" and link.get("href")), None)


def scene_of_arrays(
    source: xr.DataArray | xr.Dataset,
    chosen: Mapping[str, Sequence[str]] | None,
    only_input: str,
    offset: Offset = "item",
    *,
    allow_no_crs: bool,
) -> Scene:
    """Return a scene of an array, or of the variables of a data set, each of which is offered as an input.

    Parameters
    ----------
    chosen
        By input, the variables whose bands make it up, in order.
    only_input
        What the input of a lone array is called.

    Raises
    ------
    SceneError
        If an offset is given, there is more than one time, no array with y and x or no such variable, or if an array
        does not lie on a grid that can be taken.
    """
    if offset != "item":
        raise SceneError(
            "an array's offset is that of its attributes: leave `offset` out, or correct `add_offset`"
        )
    if isinstance(source, xr.DataArray):
        if chosen is not None:
            raise SceneError("bands of an array cannot be named here: choose them with `array.sel(band=…)`")
        return scene_from_arrays({only_input: _of_one_time(source)}, allow_no_crs=allow_no_crs)
    arrays = {str(k): _of_one_time(one) for k, one in source.data_vars.items() if one.ndim >= 2}
    wanted = [name for names in (chosen or {"": sorted(arrays)}).values() for name in names]
    if missing := [name for name in wanted if name not in arrays]:
        raise SceneError(f"the data set has no variable {listed(missing)}: it has {listed(sorted(arrays))}")
    if not wanted:
        raise SceneError("the data set holds no array with y and x: give one that does")
    crs = source.rio.crs
    scene = scene_from_arrays(
        {
            name: arrays[name] if crs is None else arrays[name].rio.write_crs(crs)
            for name in dict.fromkeys(wanted)
        },
        allow_no_crs=allow_no_crs,
    )
    if chosen is None:
        return scene
    inputs = {name: combine(name, [scene.inputs[one] for one in names]) for name, names in chosen.items()}
    return Scene(id=scene.id, inputs=inputs)


def _of_one_time(array: xr.DataArray) -> xr.DataArray:
    for name in _TIMES:
        if array.sizes.get(name, 1) > 1:
            raise SceneError(
                f"an array of {array.sizes[name]} times is no scene: choose one, as with `.isel({name}=0)`, or merge "
                f"them, as with `.median({name!r})`"
            )
        if name in array.dims:
            array = array.isel({name: 0}, drop=True)
    return array
