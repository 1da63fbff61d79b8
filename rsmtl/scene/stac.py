"""STAC: items become scenes, catalogues and collections become lists of items. STAC 1.0 and 1.1, local or http."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlparse

import numpy as np
import pystac
import stackstac
import xarray as xr
from dask.base import normalize_token
from numpy.typing import NDArray
from pystac.utils import make_absolute_href
from rasterio.windows import Window

from rsmtl.errors import SceneError
from rsmtl.gdal import is_remote
from rsmtl.scene.arrays import ArrayReader
from rsmtl.scene.document import read_document
from rsmtl.scene.grid import epsg_of, same_grid
from rsmtl.scene.lazy import lazy_bands
from rsmtl.scene.listed import listed
from rsmtl.scene.profiles import Offset, number_of, offset_of
from rsmtl.scene.raster import Declared, open_raster
from rsmtl.scene.reason import reason
from rsmtl.scene.scene import Scene, SceneInput
from rsmtl.scene.sources import document_source, local_path
from rsmtl.scene.stack import combine, join
from rsmtl.scene.trust import trusted
from rsmtl.scene.zarr import is_zarr, open_zarr

RASTER_SUFFIXES = {".tif", ".tiff", ".jp2", ".vrt", ".img", ".zarr"}
RASTER_TYPES = (
    "image/tiff",
    "image/vnd.stac.geotiff",
    "image/x.geotiff",
    "image/jp2",
    "application/vnd+zarr",
    "application/vnd.zarr",
    "application/x-zarr",
)

STACK_CHUNK_PX = 512

MAX_HREF = 8192
"""Characters; signed URLs have a thousand or two."""

_BESIDE = frozenset(
    {
        *(
            "visual",
            "thumbnail",
            "overview",
            "metadata",
            "data-mask",
            "saturation",
            "cloud",
            "cloud-shadow",
            "snow-ice",
        ),
        *(
            "land-water",
            "water-mask",
            "incidence-angle",
            "azimuth",
            "sun-azimuth",
            "sun-elevation",
            "terrain-shadow",
        ),
    }
)
"""STAC's roles of pictures of other assets, and of what is known of their pixels."""

_NAMES = ("eo:common_name", "common_name", "name")
"""What an item calls a band, the best first."""


def read_stac(href: str) -> pystac.STACObject:
    """Read an item, a collection or a catalogue.

    Raises
    ------
    SceneError
        If it cannot be read or is not STAC.
    """
    return as_stac(read_document(href), href)


def as_stac(document: Any, href: str | None) -> pystac.STACObject:
    """Return the item, collection or catalogue that a document is.

    Raises
    ------
    SceneError
        If it is none.
    """
    try:
        return pystac.read_dict(document, href=href)
    except Exception as error:  # pystac trips over malformed documents in many ways
        raise SceneError(
            f"'{href or 'what was given'}' is JSON but not STAC ({reason(error)}): give an item, collection or "
            "catalogue"
        ) from error


def item_hrefs(catalog: pystac.Catalog) -> Iterator[str]:
    """Yield where the items of a catalogue and of its children stand, depth first; the items are not read.

    A child that cannot be read is yielded in the place of its items, so that opening it says what is wrong.
    """
    waiting, seen = [catalog.self_href], {_same(catalog.self_href)}
    while waiting:
        href = waiting.pop()
        try:
            read = catalog if href == catalog.self_href else read_stac(href)
        except SceneError:
            yield href
            continue
        if not isinstance(read, pystac.Catalog):
            yield href
            continue
        yield from _unseen(_targets(href, read.get_item_links()), seen)
        waiting += reversed(_unseen(_targets(href, read.get_child_links()), seen))


def _unseen(hrefs: Sequence[str], seen: set[str]) -> list[str]:
    """Return what was not seen yet, and note that it was: catalogues may list an item twice, or themselves."""
    found = []
    for href in hrefs:
        if (name := _same(href)) not in seen:
            seen.add(name)
            found.append(href)
    return found


def _same(href: str) -> str:
    """Return one name for all paths of a local file, however many links lead to it."""
    return href if is_remote(href) else os.path.realpath(local_path(href))


def _targets(document: str, links: Sequence[pystac.Link]) -> list[str]:
    return [trusted(document, _resolved(document, href)) for link in links if (href := link.get_target_str())]


def _resolved(document: str, href: str) -> str:
    """Return what a document names as an absolute path or URL; pystac takes `#` in a path for a URL's fragment."""
    if is_remote(document) or urlparse(href).scheme or href.startswith("/"):
        return str(make_absolute_href(href, document or None))
    return os.path.normpath(local_path(document).parent / href)


def item_scene(
    item: pystac.Item,
    assets: Mapping[str, Sequence[str]] | None,
    offset: Offset = "item",
    allow_no_crs: bool = False,
    *,
    handed: bool = False,
) -> Scene:
    """Return a scene from an item; no pixel is read.

    Parameters
    ----------
    assets
        By input name, the assets whose bands make up the input, in order. None offers each raster asset with
        role `data` as an input of its own, for `align` to choose from; and one with role `visual` if no data
        asset has as many bands, as it is then no mere rendering of one. Where none has that role, those without any
        are taken for data, or else the only raster that there is.
    offset
        What is added to scaled values; see `profiles.Offset`.
    allow_no_crs
        Take assets without a CRS, too.
    handed
        The item is an object of somebody's, who may have changed it since it was read: where it stands nothing is
        looked for again.

    Raises
    ------
    SceneError
        If an asset is missing or cannot be opened, or there is none with data.
    """
    document = item.to_dict(include_self_link=False)
    _check_text(item, document)
    if assets is None:
        inputs = _offered(item, offset, allow_no_crs)
    else:
        inputs = {name: _assemble(item, name, names, offset, allow_no_crs) for name, names in assets.items()}
    files = dict.fromkeys(source for found in inputs.values() for source in found.sources)
    properties = document["properties"]
    if (where := item.get_self_href() or "") and not handed:
        files = dict.fromkeys((document_source(where, document), *files))
    return Scene(
        id=item.id,
        inputs=inputs,
        sources=tuple(files),
        properties={
            k: v for k, v in properties.items() if not k.startswith("proj:")
        },  # true of the item's grids only
        item_href=where,
    )


def _check_text(item: pystac.Item, document: Mapping[str, Any]) -> None:
    """Refuse an id that is no text, and text that no file can hold: both would show when the product is written."""
    what = f"item '{item.get_self_href() or item.id}'"
    if not isinstance(item.id, str):
        raise SceneError(f"{what} has the id {item.id!r}, which is no text: give it one")
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise SceneError(f"{what} holds half a surrogate pair, which is no text: correct it") from error


def _offered(item: pystac.Item, offset: Offset, allow_no_crs: bool) -> dict[str, SceneInput]:
    rasters = {name: asset for name, asset in item.assets.items() if _is_raster(asset)}
    data = {name: _open_asset(item, name, offset, allow_no_crs) for name in _with_data(rasters)}
    pictures = [name for name, asset in rasters.items() if asset.has_role("visual") and name not in data]
    counts = {len(found.bands) for found in data.values()}
    visual = {name: _open_asset(item, name, offset, allow_no_crs) for name in pictures}
    offered = data | {name: found for name, found in visual.items() if len(found.bands) not in counts}
    if not offered:
        raise SceneError(
            f"item {item.id!r} has no raster asset with role `data`: name the assets to take with `--assets`, "
            f"it has {listed(sorted(item.assets))}"
        )
    return offered


def _with_data(rasters: Mapping[str, pystac.Asset]) -> list[str]:
    """Choose the assets whose pixels are data: many items say nothing of roles, or have words of their own."""
    others = [name for name, asset in rasters.items() if not _BESIDE & set(asset.roles or ())]
    return (
        [name for name, asset in rasters.items() if asset.has_role("data")]
        or [name for name in others if not rasters[name].roles]
        or (others if len(others) == 1 else [])
    )


def _is_raster(asset: pystac.Asset) -> bool:
    if isinstance(asset.media_type, str) and asset.media_type:
        return asset.media_type.split(";")[0].strip().lower() in RASTER_TYPES
    return PurePosixPath(asset.href.partition("?")[0]).suffix.lower() in RASTER_SUFFIXES


def _assemble(
    item: pystac.Item, name: str, assets: Sequence[str], offset: Offset, allow_no_crs: bool
) -> SceneInput:
    """Make one input of several assets: bands on one grid through stackstac, the rest as rasters."""
    members = [_open_asset(item, asset, offset, allow_no_crs) for asset in assets]
    runs: list[list[SceneInput]] = []
    for member in members:
        stackable = _stackable(member)
        if runs and stackable and _stackable(runs[-1][0]) and same_grid(runs[-1][0].geobox, member.geobox):
            runs[-1].append(member)
        else:
            runs.append([member])
    return combine(name, [_stacked(name, run) if len(run) > 1 else run[0] for run in runs])


def _stackable(member: SceneInput) -> bool:
    """Whether stackstac can read it: a raster of one band whose CRS has an EPSG code."""
    return member.data.attrs.get("n_file_bands") == 1 and epsg_of(member.geobox) is not None


def _open_asset(item: pystac.Item, wanted: str, offset: Offset, allow_no_crs: bool) -> SceneInput:
    """Open an asset as an input, or one band of it (`analytic:red`, `analytic:3`).

    A single band is called as it was asked for.
    """
    name, _, band = (wanted, "", "") if wanted in item.assets else wanted.partition(":")
    if name not in item.assets:
        name, band = _of_band(item, wanted)
    asset = item.assets[name]
    href = _place(item, name)
    if is_zarr(href):
        opened = open_zarr(href, [band] if band else None, allow_no_crs=allow_no_crs)
        found = combine(name, list(opened.values()))
    else:
        if not is_remote(href) and not href.startswith("/vsi") and not os.path.lexists(href):
            raise SceneError(
                f"asset {name!r} of item {item.id!r} has the href {asset.href!r}, but '{href}' does not exist: put the "
                "file there, or correct the href, which counts from the folder of the item"
            )
        found = open_raster(
            name,
            href,
            [band] if band else None,
            _declared(item, asset, offset),
            offset=number_of(offset),
            allow_no_crs=allow_no_crs,
        )
    return replace(found, bands=(band or name,)) if len(found.bands) == 1 else found


def _of_band(item: pystac.Item, wanted: str) -> tuple[str, str]:
    """Return the asset that has a band of this name, and the name of the band in it; none if it is the only one.

    Raises
    ------
    SceneError
        If no asset has such a band, or several have.
    """
    found = []
    for name, asset in item.assets.items():
        if _is_raster(asset) and not _BESIDE & set(asset.roles or ()):
            bands = _declared(item, asset, "none")
            found += [(name, wanted if len(bands) > 1 else "") for band in bands if wanted in band.names]
    if not found:
        name = wanted.partition(":")[0]
        raise SceneError(f"item {item.id!r} has no asset {name!r}: it has {listed(sorted(item.assets))}")
    if len(found) > 1:
        choices = listed(f"{name}:{band}" if band else name for name, band in found)
        raise SceneError(f"item {item.id!r} has {len(found)} bands called {wanted!r}: name one of {choices}")
    return found[0]


def _place(item: pystac.Item, name: str) -> str:
    """Return where an asset stands: a path or a URL.

    STAC asks for URLs, in which a blank is `%20`, but many items have plain paths; what is there decides.
    """
    asset = item.assets[name]
    if len(str(asset.href)) > MAX_HREF:
        raise SceneError(
            f"asset {name!r} of item {item.id!r} has a href of {len(asset.href):,} characters, at most {MAX_HREF:,} "
            "are taken: correct it"
        )
    try:
        home = item.get_self_href() or ""
        href = trusted(home, _resolved(home, asset.href) if home else asset.href)
        if is_remote(href):
            return href
        path = local_path(href)
    except (ValueError, TypeError, AttributeError) as error:  # pystac takes anything for a href
        raise SceneError(
            f"asset {name!r} of item {item.id!r} has the href {asset.href!r}, which is no path or URL: correct it"
        ) from error
    decoded = unquote(str(path))
    return decoded if "%" in href and os.path.lexists(decoded) and not os.path.lexists(path) else str(path)


def _declared(item: pystac.Item, asset: pystac.Asset, offset: Offset) -> list[Declared]:
    """Read what the asset says of its bands, in the words of STAC 1.0 (`raster:bands`, `eo:bands`) or 1.1 (`bands`)."""
    said = asset.extra_fields
    lists = [
        [band if isinstance(band, dict) else {} for band in said[key]]
        for key in ("bands", "raster:bands", "eo:bands")
        if isinstance(said.get(key), list)
    ]
    n = max(map(len, lists), default=0)
    merged: list[dict[str, Any]] = [{} for _ in range(n)]
    for bands in lists:
        for into, band in zip(merged, bands, strict=False):
            into |= band
    common: dict[str, Any] = {
        key: said[key] for key in ("nodata", "raster:scale", "raster:offset") if key in said
    }
    called = [
        tuple(band[key] for key in _NAMES if isinstance(band.get(key), str) and band[key]) for band in merged
    ]
    shared = Counter(name for names in called for name in dict.fromkeys(names))
    bands = [{**common, **band} for band in merged or ([common] if common else [])]
    return [
        Declared(
            name=next((name for name in names if shared[name] == 1), names[0] if names else None),
            names=names,
            nodata=_number(band.get("nodata")),
            scale=_number(band.get("raster:scale", band.get("scale"))),
            offset=offset_of(
                f"item {item.id!r}", item.properties, _number(band.get("raster:offset", band.get("offset")))
            )
            if offset == "item"
            else None,
        )
        for band, names in zip(bands, called or [()], strict=False)
    ]


def _number(said: Any) -> float | None:
    """Read a number, or one of STAC's words for one: `nan`, `inf`, `-inf`."""
    try:
        return None if said is None else float(said)
    except (TypeError, ValueError):
        return None


@dataclass(frozen=True)
class _Members:
    """Makes readers for stackstac, which calls a member by its place among them."""

    members: tuple[SceneInput, ...]

    def __call__(self, *, url: str, **_: Any) -> "_MemberReader":
        return _MemberReader(self.members[int(url)].data)

    def __dask_tokenize__(self) -> Any:
        """Name files and how they are read; by itself Dask would read them all."""
        return normalize_token([(one.sources, one.bands, one.storage, one.geobox) for one in self.members])


@dataclass(frozen=True)
class _MemberReader:
    """Reads one band of a stack as it is read alone, so that an item's nodata outranks the file's."""

    data: xr.DataArray

    def __dask_tokenize__(self) -> Any:
        return id(self.data)

    def read(self, window: Window, **_: Any) -> NDArray[np.float32]:
        """Return `(h, w)` physical values, NaN where invalid."""
        rows, cols = window.toslices()
        values: NDArray[np.float32] = self.data.isel(band=0, y=rows, x=cols).values
        return values

    def close(self) -> None:
        """Do nothing: files are closed with the threads that read them."""


def _stacked(name: str, members: Sequence[SceneInput]) -> SceneInput:
    """Put single-band rasters on one grid together through stackstac, as one lazy array; each is read as by itself.

    Projection and grid are those found in the files: items may lack them, and stackstac does not know `proj:code`.
    """
    geobox = members[0].geobox
    names = [f"{k}" for k in range(len(members))]
    stack = stackstac.stack(
        {
            "id": name,
            "properties": {"datetime": None, "proj:epsg": epsg_of(geobox)},
            "assets": {
                key: {
                    "href": key,
                    "proj:shape": list(geobox.shape),
                    "proj:transform": list(geobox.affine),
                }
                for key in names
            },
        },
        assets=names,
        epsg=epsg_of(geobox),
        resolution=(geobox.resolution.x, -geobox.resolution.y),
        bounds=tuple(geobox.boundingbox.bbox),
        snap_bounds=False,
        chunksize=STACK_CHUNK_PX,
        dtype=np.dtype(np.float32),
        fill_value=np.float32(np.nan),
        rescale=False,
        sortby_date=False,
        properties=False,
        band_coords=False,
        xy_coords=False,
        reader=_Members(tuple(members)),
        errors_as_nodata=(),  # a file that cannot be read is an error, not an empty image
    )
    joint = join(name, members)
    n = len(members)
    reader = ArrayReader(
        array=stack.isel(time=0, drop=True).drop_vars(["band", "id"], errors="ignore"),
        dims=("band", "y", "x"),
        nodata=(None,) * n,
        scale=(1.0,) * n,
        offset=(0.0,) * n,
    )
    return replace(joint, data=lazy_bands(reader, joint.bands))
