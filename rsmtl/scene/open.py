"""`open_scene`: one way in for rasters, Zarr stores and STAC items."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlparse

import pystac

from rsmtl.errors import SceneError
from rsmtl.scene.raster import open_raster
from rsmtl.scene.scene import Scene, SceneInput
from rsmtl.scene.sources import is_remote, local_path
from rsmtl.scene.stac import item_hrefs, item_scene, read_stac
from rsmtl.scene.stack import combine
from rsmtl.scene.zarr import is_zarr, open_zarr

Source = str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]]
"""A path or URL, or several by the name of the input each gives."""

Assets = Sequence[str] | Mapping[str, Sequence[str]]
"""What to take of a source: assets of an item (or bands of one, `visual:red`), variables of a Zarr store, bands of a
raster by name or number from 1 on. A list is for the one input of a model; a mapping gives a list for each input."""

ONLY_INPUT = "image"
"""What an input is called that nobody named; `align` gives it the model's name."""


@dataclass(frozen=True)
class SceneRef:
    """A scene that has not been opened."""

    id: str
    """Of the item if it was read, else the name of its file; for messages."""
    source: str | Mapping[str, str]
    """What `open_scene` takes."""


def scene_refs(source: Source) -> Iterator[SceneRef]:
    """Yield the scenes of a source: the items of a catalogue or collection and of its children, or the one it is.

    Items are not read, so one that is broken does not keep the others from being opened.

    Raises
    ------
    SceneError
        If the catalogue itself cannot be read, or holds no items.
    """
    plain = _plain(source)
    if not isinstance(plain, str) or not _is_stac(plain):
        yield SceneRef(_file_id(plain), plain)
        return
    read = read_stac(plain)
    if not isinstance(read, pystac.Catalog):
        yield SceneRef(getattr(read, "id", _file_id(plain)), plain)
        return
    n = 0
    for n, href in enumerate(item_hrefs(read), start=1):  # noqa: B007  # counted for the message below
        yield SceneRef(_file_id(href), href)
    if n == 0:
        raise SceneError(f"'{plain}' is a catalogue without items: give one that has some, or an item")


def open_scene(source: Source, assets: Assets | None = None) -> Scene:
    """Open a scene; only metadata is read.

    Parameters
    ----------
    source
        A raster that GDAL reads, a Zarr store (or a group of one), or a STAC item (a `.json` or `.geojson` file, or
        a URL without a suffix), local or http(s); or a mapping from input name to raster or Zarr store.
    assets
        What of it to take; see `Assets`. None takes all bands of a raster, and offers each variable of a Zarr
        store and each data asset of an item as an input for `align` to choose from.

    Returns
    -------
    Scene
        Its inputs are lazy, on their own grids, in physical values with NaN for invalid. The id is the item's, or
        the file's name without suffix. The properties are the item's; a file's `datetime` is that of its TIFF tag,
        or else its modification time, as nothing better is known.

    Raises
    ------
    SceneError
        If something is missing or cannot be used: the message says what, and what to do.
    """
    plain, chosen = _plain(source), _by_input(assets)
    told: dict[str, Any] = {"source": plain, "assets": chosen}
    if isinstance(plain, str) and _is_stac(plain):
        item = read_stac(plain)
        if not isinstance(item, pystac.Item):
            raise SceneError(
                f"'{plain}' is a catalogue, not a scene: open the scenes that `scene_refs` finds in it"
            )
        return replace(item_scene(item, chosen), opened_with=told)
    inputs = _inputs(plain, chosen)
    files = tuple(dict.fromkeys(f for found in inputs.values() for f in found.sources))
    return Scene(
        id=_file_id(plain), inputs=inputs, sources=files, properties=_datetime(inputs), opened_with=told
    )


def open_truth(source: Source) -> SceneInput:
    """Open what a product is compared with: as `open_scene`, but one input, and indices into a colour table are labels.

    Raises
    ------
    SceneError
        As `open_scene`, and if there are several inputs.
    """
    plain = _plain(source)
    if isinstance(plain, str) and not _is_stac(plain) and not is_zarr(plain):
        return open_raster(ONLY_INPUT, plain, indices=True)
    scene = open_scene(source)
    if len(scene.inputs) != 1:
        raise SceneError(
            f"the truth must be one raster, '{plain}' offers {', '.join(scene.inputs)}: give the file of one"
        )
    return next(iter(scene.inputs.values()))


def reopen(opened_with: Mapping[str, Any]) -> Scene:
    """Open a scene again from its `opened_with`, which may have been through JSON.

    Raises
    ------
    SceneError
        If the scene was made in memory, or its files cannot be opened any more.
    """
    if "source" not in opened_with:
        raise SceneError("this scene was made in memory and cannot be opened again: give it as it was made")
    return open_scene(opened_with["source"], opened_with.get("assets"))


def _plain(source: Source) -> str | dict[str, str]:
    """Absolute paths and URLs as strings, so that a scene can be opened again from another folder."""
    if isinstance(source, Mapping):
        if not source:
            raise SceneError("no file was given: give at least one input, as name and path")
        return {name: _absolute(os.fspath(path)) for name, path in source.items()}
    return _absolute(os.fspath(source))


def _absolute(href: str) -> str:
    if "://" in href or href.startswith("/vsi") or not href:
        return href
    return str(Path(href).absolute())


def _is_stac(href: str) -> bool:
    suffix = PurePosixPath(urlparse(href).path).suffix.lower()
    return suffix in (".json", ".geojson") or (is_remote(href) and suffix == "" and not is_zarr(href))


def _file_id(plain: str | Mapping[str, str]) -> str:
    href = plain if isinstance(plain, str) else next(iter(plain.values()))
    return PurePosixPath(urlparse(href).path if is_remote(href) else href).stem


def _by_input(assets: Assets | None) -> dict[str, list[str]] | None:
    if assets is None:
        return None
    if isinstance(assets, str):  # a lone name; a string is a sequence of its letters
        return {ONLY_INPUT: [assets]}
    chosen = assets if isinstance(assets, Mapping) else {ONLY_INPUT: assets}
    if not chosen or not all(chosen.values()):
        raise SceneError("the list of assets is empty: name at least one for each input, or leave it out")
    return {name: list(names) for name, names in chosen.items()}


def _inputs(plain: str | dict[str, str], chosen: dict[str, list[str]] | None) -> dict[str, SceneInput]:
    """Open rasters and Zarr stores."""
    if isinstance(plain, str):
        if is_zarr(plain):
            return _zarr_inputs(plain, chosen)
        if chosen is None:
            return {ONLY_INPUT: open_raster(ONLY_INPUT, plain)}
        return {name: open_raster(name, plain, bands) for name, bands in chosen.items()}
    strays = sorted(set(chosen or ()) - set(plain))
    if strays:
        raise SceneError(
            f"assets are named for {', '.join(map(repr, strays))}, but the files are for "
            f"{', '.join(map(repr, plain))}: name them by input, as in {next(iter(plain))}=1,2,3"
        )
    return {name: _single(name, href, (chosen or {}).get(name)) for name, href in plain.items()}


def _single(name: str, href: str, wanted: Sequence[str] | None) -> SceneInput:
    if not is_zarr(href):
        return open_raster(name, href, wanted)
    found = _zarr_inputs(href, {name: list(wanted)} if wanted else None)
    if len(found) > 1:
        raise SceneError(f"'{href}' holds the variables {', '.join(found)}: say which make up input {name!r}")
    return replace(next(iter(found.values())), name=name)


def _zarr_inputs(href: str, chosen: dict[str, list[str]] | None) -> dict[str, SceneInput]:
    if chosen is None:
        return open_zarr(href)
    there = open_zarr(href, list(dict.fromkeys(n for names in chosen.values() for n in names)))
    return {name: combine(name, [there[n] for n in names]) for name, names in chosen.items()}


def _datetime(inputs: Mapping[str, SceneInput]) -> dict[str, str]:
    """When the scene was taken, as far as a file tells; times without a zone are taken for UTC."""
    first = next(iter(inputs.values()))
    try:
        taken = datetime.strptime(first.data.attrs["datetime"], "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC)
    except (KeyError, ValueError):
        path = local_path(first.sources[0].href)
        if is_remote(first.sources[0].href) or not path.exists():
            return {}
        taken = datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)
    return {"datetime": taken.isoformat().replace("+00:00", "Z")}
