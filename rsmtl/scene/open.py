"""`open_scene`: one way in for rasters, Zarr stores and STAC items."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlparse

import pystac
import xarray as xr

from rsmtl.errors import SceneError
from rsmtl.gdal import is_remote
from rsmtl.redaction import is_url, redacted
from rsmtl.scene.api import api_of
from rsmtl.scene.document import read_document, read_documents
from rsmtl.scene.handed import Handed, is_item, scene_of_arrays, the_item
from rsmtl.scene.profiles import Offset, number_of
from rsmtl.scene.raster import open_raster
from rsmtl.scene.reason import reason
from rsmtl.scene.scene import Scene, SceneInput
from rsmtl.scene.search import Search
from rsmtl.scene.sources import local_path
from rsmtl.scene.stac import as_stac, item_hrefs, item_scene
from rsmtl.scene.stack import combine
from rsmtl.scene.trust import trusted
from rsmtl.scene.zarr import is_zarr, open_zarr

One = str | os.PathLike[str]
Source = One | Mapping[str, One | Sequence[One]]
"""A path or URL, or several by the name of the input each gives; a list for an input whose bands are files of their
own."""

Plain = str | dict[str, str | list[str]]
"""A source with absolute paths, as JSON has it."""

Assets = Sequence[str] | Mapping[str, Sequence[str]]
"""What to take of a source: assets of an item (or bands of one, `visual:red`), variables of a Zarr store, bands of a
raster by name or number from 1 on. A list is for the one input of a model; a mapping gives a list for each input."""

ONLY_INPUT = "image"
"""What an input is called that nobody named; `align` gives it the model's name."""


@dataclass(frozen=True)
class SceneRef:
    """A scene that has not been opened."""

    id: str
    """Of the item if it was read, else the name of its file."""
    source: Plain
    """What `open_scene` takes."""


def scene_refs(source: Source, search: Search | None = None) -> Iterator[SceneRef]:
    """Yield the scenes of a source: the items of a catalogue, collection or STAC API, or the one scene that it is.

    Without a search the items of a static catalogue are not read, so one that is broken does not keep the others
    from being opened. With one they are read, and one that cannot be is yielded all the same: to open it says why.

    Parameters
    ----------
    search
        Bounds on the items; all of them unless given. The server of an API searches too, and what it finds is held
        against the same bounds as the items of a static catalogue.

    Raises
    ------
    SceneError
        If the catalogue itself cannot be read, holds no items, or none within the bounds.
    """
    plain, bounds = _plain(source), search or Search()
    if not isinstance(plain, str) or not _is_stac(plain):
        if bounds.bounded:
            raise SceneError(
                f"'{plain}' is no STAC catalogue, and only items can be searched ({bounds}): leave the search out"
            )
        yield SceneRef(file_id(plain), plain)
        return
    looked_at = taken = 0
    for looked_at, (ref, item) in enumerate(_offered(plain, bounds), start=1):  # noqa: B007  # for the message below
        if item is None or _keeps_to(bounds, item):
            taken += 1
            yield ref
    if taken:
        return
    if bounds.bounded:
        raise SceneError(
            f"none of {looked_at:,} items of '{plain}' keeps to the search ({bounds}): widen it, or give another one"
        )
    raise SceneError(f"'{plain}' is a catalogue without items: give one that has some, or an item")


def _offered(plain: str, search: Search) -> Iterator[tuple[SceneRef, Any]]:
    """Yield scenes, each with its item if that was read."""
    document = read_document(plain)
    if _is_saved_search(document):
        yield from _features(document, plain)
        return
    read = as_stac(document, plain)
    if not isinstance(read, pystac.Catalog):
        yield _ref(plain, document), document
    elif api := api_of(document, plain):
        yield from ((_ref(href, item), item) for href, item in api.items(search))
    elif search.bounded:
        yield from ((_ref(href, item), item) for href, item in read_documents(item_hrefs(read)))
    else:
        yield from ((SceneRef(file_id(href), href), None) for href in item_hrefs(read))


def _is_saved_search(document: Any) -> bool:
    return isinstance(document, Mapping) and document.get("type") == "FeatureCollection"


def _features(document: Mapping[str, Any], plain: str) -> Iterator[tuple[SceneRef, Any]]:
    """Yield the items that somebody saved together, as what a search has found: each stands where it says."""
    for item in document.get("features") or ():
        links = item.get("links") or () if isinstance(item, Mapping) else ()
        href = next((link.get("href") for link in links if link.get("rel") == "self"), None)
        if not isinstance(href, str) or not href:
            raise SceneError(
                f"an item in '{plain}' does not say where it stands: give it a link with `rel` of `self`, or open it "
                "in Python with `open_scene(item)`"
            )
        place = href if "://" in href else str(Path(plain).parent / href)
        yield _ref(trusted(plain, place), item), item


def _ref(href: str, item: Any) -> SceneRef:
    name = item.get("id") if isinstance(item, Mapping) else None
    return SceneRef(name if isinstance(name, str) and name else file_id(href), href)


def _keeps_to(search: Search, item: Any) -> bool:
    """Whether an item is within the bounds; yes for what is none, so that opening it says what is wrong."""
    try:
        return search.matches(item)
    except (ValueError, AttributeError):
        return True


def open_scene(
    source: Source | Handed,
    assets: Assets | None = None,
    offset: Offset = "item",
    *,
    allow_no_crs: bool = False,
) -> Scene:
    """Open a scene; only metadata is read.

    Parameters
    ----------
    source
        A raster that GDAL reads, a Zarr store (or a group of one), or a STAC item (a `.json` or `.geojson` file, or
        a URL without a suffix), local or http(s); or a mapping from input name to raster or Zarr store. Also what other
        libraries hand over: an item of pystac's (or its mapping, or a collection of one), an array or data set of
        xarray's, with one time at most.
    assets
        What of it to take; see `Assets`. None takes all bands of a raster, and offers each variable of a Zarr
        store and each data asset of an item as an input for `align` to choose from.
    offset
        What is added to a raster's scaled values: `item`, what the item says, or else the file; `none`; or a number.
    allow_no_crs
        Take images that lie nowhere on the Earth: their grid is that of their pixels, and what is made of them has no
        coordinate reference system either. Refused otherwise.

    Returns
    -------
    Scene
        Its inputs are lazy, on their own grids, in physical values with NaN for invalid. The id is the item's, or
        the file's name without suffix. The properties are the item's; a file's `datetime` is that of its TIFF tag,
        or else its modification time, as nothing better is known.

    Raises
    ------
    SceneError
        If something is missing or cannot be used, or several items are given: the message says what, and what to do.
    """
    chosen = _by_input(assets)
    if isinstance(source, xr.DataArray | xr.Dataset):
        return scene_of_arrays(source, chosen, ONLY_INPUT, offset, allow_no_crs=allow_no_crs)
    if is_item(source):
        item = the_item(source)
        href = item.get_self_href()
        told = opened_with(href, assets, offset, allow_no_crs=allow_no_crs) if href else {}
        return replace(item_scene(item, chosen, offset, allow_no_crs, handed=True), opened_with=told)
    source = cast(Source, source)
    plain, told = _plain(source), opened_with(source, assets, offset, allow_no_crs=allow_no_crs)
    if isinstance(plain, str) and _is_stac(plain):
        item, handed = _read_item(plain)
        return replace(item_scene(item, chosen, offset, allow_no_crs, handed=handed), opened_with=told)
    inputs = _inputs(plain, chosen, offset, allow_no_crs)
    files = tuple(dict.fromkeys(f for found in inputs.values() for f in found.sources))
    return Scene(
        id=file_id(plain), inputs=inputs, sources=files, properties=_datetime(inputs), opened_with=told
    )


def _read_item(href: str) -> tuple[pystac.Item, bool]:
    """Read an item; and tell whether it was found in a file of several, in which nothing says where it stands."""
    document = read_document(href)
    if _is_saved_search(document):
        return the_item(document), True
    item = as_stac(document, href)
    if not isinstance(item, pystac.Item):
        raise SceneError(
            f"'{href}' is a catalogue, not a scene: open the scenes that `scene_refs` finds in it"
        )
    return item, False


def opened_with(
    source: Source, assets: Assets | None = None, offset: Offset = "item", *, allow_no_crs: bool = False
) -> dict[str, Any]:
    """Return the `opened_with` of the scene that `open_scene` gives for the same arguments."""
    told: dict[str, Any] = {"source": _plain(source), "assets": _by_input(assets)}
    if offset != "item":
        told["offset"] = offset
    return {**told, "allow_no_crs": True} if allow_no_crs else told


def scene_id(source: Source) -> str | None:
    """Return the id of the scene that `open_scene` gives, at the cost of reading an item; None if it cannot be told.

    Raises
    ------
    SceneError
        If an item cannot be read.
    """
    plain = _plain(source)
    if not isinstance(plain, str) or not _is_stac(plain):
        return file_id(plain)
    document = read_document(plain)
    found = document.get("id") if isinstance(document, Mapping) else None
    return found if isinstance(found, str) else None


def open_truth(source: Source) -> SceneInput:
    """Open what a product is compared with: as `open_scene`, but one input, and indices into a colour table are labels.

    It may be without a CRS, as the product of an image without one is; whether their grids agree is for others to say.

    Raises
    ------
    SceneError
        As `open_scene`, and if there are several inputs.
    """
    plain = _plain(source)
    if isinstance(plain, str) and not _is_stac(plain) and not is_zarr(plain):
        return open_raster(ONLY_INPUT, plain, indices=True, allow_no_crs=True)
    scene = open_scene(source, allow_no_crs=True)
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
    return open_scene(
        opened_with["source"],
        opened_with.get("assets"),
        opened_with.get("offset", "item"),
        allow_no_crs=opened_with.get("allow_no_crs", False),
    )


def _plain(source: Source) -> Plain:
    """Absolute paths and URLs as strings, so that a scene can be opened again from another folder."""
    if isinstance(source, Mapping):
        if not source:
            raise SceneError("no file was given: give at least one input, as name and path")
        return {
            name: _absolute(os.fspath(path))
            if isinstance(path, str | os.PathLike)
            else [_absolute(os.fspath(one)) for one in path]
            for name, path in source.items()
        }
    return _absolute(os.fspath(source))


def _absolute(href: str) -> str:
    try:
        href.encode()
        urlparse(href)
    except ValueError as error:
        raise SceneError(
            f"'{href}' is no path or URL that can be taken ({reason(error)}): rename the file, or correct the URL"
        ) from error
    if href.startswith("file:"):
        return _of_uri(href)
    if "://" in href or href.startswith("/vsi") or not href:
        return href
    return str(Path(href).absolute())


def _of_uri(uri: str) -> str:
    """Return the path that a `file:` URI names: a blank in it is `%20`, but some are written as they are."""
    path = urlparse(uri, allow_fragments=False).path
    decoded = unquote(path)
    return path if os.path.lexists(path) and not os.path.lexists(decoded) else decoded


def _is_stac(href: str) -> bool:
    path = PurePosixPath(urlparse(href).path if "://" in href else href)  # a folder may be called `run #3`
    if path.suffix.lower() in (".json", ".geojson"):
        return True
    in_api = path.parts[-4:-3] == ("collections",) and path.parts[-2:-1] == ("items",)  # ids may have dots
    return is_remote(href) and (in_api or (path.suffix == "" and not is_zarr(href)))


def file_id(plain: Plain) -> str:
    """Return the id of a scene that is told by its file alone: its name without suffix, and no secret of a URL."""
    href = _files(plain)[0]
    if is_url(href):  # in any spelling: with a scheme, or as GDAL has it
        href = redacted(href)
        query = parse_qs(href.partition("?")[2])
        href = query["url"][0] if "url" in query else href
        path = urlparse(href).path if "://" in href and not href.startswith("/vsi") else href
        return PurePosixPath(unquote(path.partition("?")[0])).stem
    return PurePosixPath(href).stem


def _by_input(assets: Assets | None) -> dict[str, list[str]] | None:
    if assets is None:
        return None
    if isinstance(assets, str):  # a lone name; a string is a sequence of its letters
        return {ONLY_INPUT: [assets]}
    chosen = assets if isinstance(assets, Mapping) else {ONLY_INPUT: assets}
    if not chosen or not all(chosen.values()):
        raise SceneError("the list of assets is empty: name at least one for each input, or leave it out")
    return {name: list(names) for name, names in chosen.items()}


def _inputs(
    plain: Plain, chosen: dict[str, list[str]] | None, offset: Offset, allow_no_crs: bool
) -> dict[str, SceneInput]:
    """Open rasters and Zarr stores."""
    number = number_of(offset)
    stores = [href for href in _files(plain) if is_zarr(href)]
    if number is not None and stores:
        raise SceneError(
            f"'{stores[0]}' is a Zarr store, whose offset is decoded as it says: leave `--offset` out, or correct "
            "`add_offset` in the store"
        )
    if isinstance(plain, str):
        if is_zarr(plain):
            return _zarr_inputs(plain, chosen, allow_no_crs)
        if chosen is None:
            return {ONLY_INPUT: open_raster(ONLY_INPUT, plain, offset=number, allow_no_crs=allow_no_crs)}
        return {
            name: open_raster(name, plain, bands, offset=number, allow_no_crs=allow_no_crs)
            for name, bands in chosen.items()
        }
    strays = sorted(set(chosen or ()) - set(plain))
    if strays:
        raise SceneError(
            f"assets are named for {', '.join(map(repr, strays))}, but the files are for "
            f"{', '.join(map(repr, plain))}: name them by input, as in {next(iter(plain))}=1,2,3"
        )
    return {
        name: _single(name, href, (chosen or {}).get(name), number, allow_no_crs)
        for name, href in plain.items()
    }


def _files(plain: Plain) -> list[str]:
    if isinstance(plain, str):
        return [plain]
    return [one for given in plain.values() for one in ([given] if isinstance(given, str) else given)]


def _single(
    name: str,
    href: str | list[str],
    wanted: Sequence[str] | None,
    offset: float | None,
    allow_no_crs: bool,
) -> SceneInput:
    if not isinstance(href, str):
        if not href:
            raise SceneError(f"no file was given for input {name!r}: give at least one")
        return _of_files(name, href, wanted, offset, allow_no_crs)
    if not is_zarr(href):
        return open_raster(name, href, wanted, offset=offset, allow_no_crs=allow_no_crs)
    found = _zarr_inputs(href, {name: list(wanted)} if wanted else None, allow_no_crs)
    if len(found) > 1:
        raise SceneError(f"'{href}' holds the variables {', '.join(found)}: say which make up input {name!r}")
    return replace(next(iter(found.values())), name=name)


def _of_files(
    name: str,
    hrefs: Sequence[str],
    wanted: Sequence[str] | None,
    offset: float | None,
    allow_no_crs: bool,
) -> SceneInput:
    """Put an input together of files that have one band each, called as their files are."""
    found = [_single(name, href, None, offset, allow_no_crs) for href in hrefs]
    several = next((href for href, one in zip(hrefs, found, strict=True) if len(one.bands) != 1), None)
    if several is not None:
        raise SceneError(
            f"'{several}' is one of {len(hrefs)} files for input {name!r} and has several bands: files that make up "
            "one input have one band each"
        )
    if wanted is not None:
        raise SceneError(
            f"input {name!r} is made of {len(hrefs)} files, and bands of it are named too: give the files "
            "of those bands"
        )
    return combine(name, [replace(one, bands=(file_id(h),)) for h, one in zip(hrefs, found, strict=True)])


def _zarr_inputs(href: str, chosen: dict[str, list[str]] | None, allow_no_crs: bool) -> dict[str, SceneInput]:
    if chosen is None:
        return open_zarr(href, allow_no_crs=allow_no_crs)
    wanted = list(dict.fromkeys(n for names in chosen.values() for n in names))
    there = open_zarr(href, wanted, allow_no_crs=allow_no_crs)
    return {name: combine(name, [there[n] for n in names]) for name, names in chosen.items()}


def _datetime(inputs: Mapping[str, SceneInput]) -> dict[str, str]:
    """When the scene was taken, or else when its file was last changed; times without a zone are taken for UTC."""
    first = next(iter(inputs.values()))
    try:
        taken = datetime.strptime(first.data.attrs["datetime"], "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC)
    except (KeyError, ValueError):
        path = local_path(first.sources[0].href)
        if is_remote(first.sources[0].href) or not path.exists():
            return {}
        return {"updated": _utc(datetime.fromtimestamp(path.stat().st_mtime, tz=UTC))}
    return {"datetime": _utc(taken)}


def _utc(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")
