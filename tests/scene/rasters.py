"""Small rasters, Zarr stores and STAC items, written for one test."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

CRS = "EPSG:32631"
ORIGIN = (500_000.0, 5_000_000.0)
"""Of every raster here, unless a test says otherwise: x, y of the top left corner."""


def grid(gsd: float = 10.0, dx: float = 0.0, dy: float = 0.0) -> Affine:
    """A north-up transform; `dx` and `dy` shift the corner, in metres."""
    return Affine(gsd, 0, ORIGIN[0] + dx, 0, -gsd, ORIGIN[1] + dy)


def image(bands: int, height: int, width: int, dtype: str = "uint16", seed: int = 0) -> NDArray[Any]:
    """Noise without zeros."""
    rng = np.random.default_rng(seed)
    return rng.integers(1, 200, (bands, height, width)).astype(dtype)


def write_raster(
    path: Path,
    values: NDArray[Any],
    transform: Affine | None = None,
    crs: str | None = CRS,
    names: tuple[str, ...] = (),
    colors: tuple[ColorInterp, ...] = (),
    scales: tuple[float, ...] = (),
    offsets: tuple[float, ...] = (),
    mask: NDArray[Any] | None = None,
    tags: dict[str, str] | None = None,
    **profile: Any,
) -> Path:
    """Write `(bands, H, W)` as a GeoTIFF, with an internal mask if one is given."""
    n, height, width = values.shape
    profile = {
        "driver": "GTiff",
        "count": n,
        "height": height,
        "width": width,
        "dtype": values.dtype,
        **profile,
    }
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", crs=crs, transform=transform or grid(), **profile) as file,
    ):
        if colors:
            file.colorinterp = colors
        file.write(values)
        if names:
            file.descriptions = names
        if scales:
            file.scales, file.offsets = scales, offsets
        if mask is not None:
            file.write_mask(mask)
        file.update_tags(**(tags or {}))
    return path


def asset(href: str, roles: tuple[str, ...] = ("data",), **fields: Any) -> dict[str, Any]:
    return {"href": href, "type": "image/tiff; application=geotiff", "roles": list(roles), **fields}


def write_item(
    folder: Path, assets: dict[str, Any], item_id: str = "scene-1", version: str = "1.0.0", **properties: Any
) -> Path:
    """Write a STAC item beside the files that its assets name."""
    item = {
        "type": "Feature",
        "stac_version": version,
        "stac_extensions": [],
        "id": item_id,
        "geometry": None,
        "properties": {"datetime": "2024-05-06T07:08:09Z", **properties},
        "links": [],
        "assets": assets,
    }
    path = folder / f"{item_id}.json"
    path.write_text(json.dumps(item))
    return path


def write_catalog(
    folder: Path, items: tuple[str, ...] = (), children: tuple[str, ...] = (), name: str = "catalog.json"
) -> Path:
    """Write a catalogue that links to items and to other catalogues."""
    folder.mkdir(parents=True, exist_ok=True)
    links = [{"rel": "item", "href": href} for href in items] + [
        {"rel": "child", "href": href} for href in children
    ]
    catalog = {
        "type": "Catalog",
        "stac_version": "1.0.0",
        "id": folder.name,
        "description": "a test",
        "links": links,
    }
    path = folder / name
    path.write_text(json.dumps(catalog))
    return path
