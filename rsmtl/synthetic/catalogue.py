"""A STAC catalogue of generated scenes, with their truth, as Cloud Optimized GeoTIFFs."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import isqrt
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dask.array
import pystac
import zarr
from rasterio.warp import transform as transform_points

from rsmtl.errors import InputError
from rsmtl.store.cog import write_cog
from rsmtl.store.place import disk_errors, replacing
from rsmtl.synthetic.footprint import corners
from rsmtl.synthetic.georeference import CRS, place
from rsmtl.synthetic.landscape import Landscape
from rsmtl.synthetic.materials import CLASSES
from rsmtl.synthetic.products import PRODUCTS, Product
from rsmtl.synthetic.sensor import RATIO

_EXTENSIONS = tuple(
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in ("projection/v2.0.0", "eo/v2.0.0", "raster/v2.0.0", "classification/v1.1.0")
)
_CHUNK_PX = 1024
_FIRST_PASS = datetime(2024, 6, 1, 10, 30, tzinfo=UTC)


def write_catalogue(
    out: Path,
    n_scenes: int,
    size_px: int,
    seed: int,
    *,
    gsd_m: float = 0.5,
    collar: bool = False,
    clouds: bool = False,
) -> Path:
    """Write square scenes that lie side by side in one world, with a self-contained STAC catalogue.

    A scene's folder holds `hrms.tif`, `pan.tif`, `ms.tif` (role `data`) and `classes.tif` (role `labels`). They are
    rendered and written chunk by chunk, so memory does not grow with `size_px`. The same arguments give the same
    pixels and the same JSON.

    Parameters
    ----------
    out
        Folder of the catalogue; what stands there under the same names is replaced.
    n_scenes
        How many; their ids are `landscape-0001` and on.
    size_px
        Edge of a scene in PAN pixels.
    seed
        Names the world.
    gsd_m
        Of PAN and HRMS.
    collar, clouds
        Of every scene, as in `Landscape`.

    Returns
    -------
    Path
        Of `catalog.json`, which is written last.

    Raises
    ------
    InputError
        If a number is out of range.
    RunError
        If a file cannot be written.
    """
    if n_scenes < 1:
        raise InputError(
            f"a catalogue needs at least one scene, but {n_scenes} were asked for: give a number from 1"
        )
    scenes = {
        f"landscape-{number:04d}": Landscape(
            seed, size_px, size_px, gsd_m, collar=collar, clouds=clouds, origin_px=origin
        )
        for number, origin in enumerate(_origins(n_scenes, size_px), start=1)
    }
    for name, landscape in scenes.items():
        _write_images(out / name, landscape)
    return _write_stac(out, [_item(name, landscape) for name, landscape in scenes.items()])


def _origins(count: int, size_px: int) -> Iterator[tuple[int, int]]:
    """Place scenes side by side, row by row of a square, on the grid of MS pixels."""
    per_row = isqrt(count - 1) + 1
    pitch = -(-size_px // RATIO) * RATIO
    for number in range(count):
        yield number // per_row * pitch, number % per_row * pitch


def _write_images(folder: Path, landscape: Landscape) -> None:
    """Render each chunk once into a Zarr beside the images, then make a COG of each product."""
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with disk_errors(folder), TemporaryDirectory(prefix=".rendered-", dir=folder) as rendered:
        _render(landscape, Path(rendered))
        for product, spec in PRODUCTS.items():
            pixels = dask.array.from_zarr(Path(rendered) / product)
            write_cog(
                place(pixels, spec, landscape.transform(product)),
                folder / f"{product}.tif",
                nodata=spec.nodata,
                bands=spec.bands,
                classes=CLASSES if product == "classes" else (),
            )


def _render(landscape: Landscape, folder: Path) -> None:
    """Write a Zarr array `(band, y, x)` for each product."""
    stores = {
        product: zarr.create_array(
            folder / product,
            shape=(len(spec.bands), *landscape.shape(product)),
            chunks=(len(spec.bands), _CHUNK_PX // spec.ratio, _CHUNK_PX // spec.ratio),
            dtype=spec.dtype,
        )
        for product, spec in PRODUCTS.items()
    }
    for top in range(0, landscape.height_px, _CHUNK_PX):
        for left in range(0, landscape.width_px, _CHUNK_PX):
            y = slice(top, min(top + _CHUNK_PX, landscape.height_px))
            x = slice(left, min(left + _CHUNK_PX, landscape.width_px))
            rendered = landscape.render(y, x)
            for product, spec in PRODUCTS.items():
                pixels = rendered.image(product)
                _, height, width = pixels.shape
                row, column = top // spec.ratio, left // spec.ratio
                stores[product][:, row : row + height, column : column + width] = pixels


def _item(name: str, landscape: Landscape) -> pystac.Item:
    outline = _outline(landscape)
    lon, lat = zip(*outline, strict=True)
    item = pystac.Item(
        id=name,
        geometry={"type": "Polygon", "coordinates": [[*outline, outline[0]]]},
        bbox=[min(lon), min(lat), max(lon), max(lat)],
        datetime=_FIRST_PASS + timedelta(days=landscape.seed % 90),
        properties={
            "title": f"Generated landscape of world {landscape.seed}",
            "platform": "synthetic",
            "gsd": landscape.gsd_m,
            "proj:code": CRS,
        },
        stac_extensions=list(_EXTENSIONS),
    )
    for product in PRODUCTS:
        item.add_asset(product, _asset(landscape, product))
    return item


def _asset(landscape: Landscape, product: Product) -> pystac.Asset:
    spec = PRODUCTS[product]
    fields: dict[str, Any] = {
        "gsd": landscape.gsd_m * spec.ratio,
        "data_type": spec.dtype,
        "nodata": spec.nodata,
        "proj:shape": list(landscape.shape(product)),
        "proj:transform": list(landscape.transform(product))[:6],
        "bands": [{"name": band} for band in spec.bands],
    }
    if product == "classes":
        fields["classification:classes"] = [
            {"value": value, "name": cls.name, "color_hint": "{:02X}{:02X}{:02X}".format(*cls.color)}
            for value, cls in enumerate(CLASSES)
        ]
    else:
        for band in fields["bands"]:
            band["eo:common_name"] = band["name"]
        fields["raster:bits_per_sample"] = 11
    return pystac.Asset(
        href=f"./{product}.tif",
        title=spec.title,
        media_type=pystac.MediaType.COG,
        roles=["labels"] if product == "classes" else ["data"],
        extra_fields=fields,
    )


def _outline(landscape: Landscape) -> list[tuple[float, float]]:
    """Return the corners of the valid area, counterclockwise, in degrees of longitude and latitude."""
    height, width = landscape.shape("ms")
    transform = landscape.transform("ms")
    points = [transform @ (column, row) for row, column in corners(height, width, slanted=landscape.collar)]
    lon, lat = transform_points(CRS, "EPSG:4326", *zip(*points, strict=True))
    return [(round(a, 8), round(b, 8)) for a, b in zip(lon, lat, strict=True)]


def _write_stac(out: Path, items: list[pystac.Item]) -> Path:
    catalog = pystac.Catalog(
        id="landscapes",
        title="Generated landscapes",
        description="Procedural scenes with known land cover, seen by a PAN and a 4:1 multispectral sensor.",
        catalog_type=pystac.CatalogType.SELF_CONTAINED,
    )
    catalog.add_items(items)
    catalog.normalize_hrefs(str(out))
    for item in items:
        _write_json(Path(item.self_href), item.to_dict(include_self_link=False))
    path = Path(catalog.self_href)
    _write_json(path, catalog.to_dict(include_self_link=False))
    return path


def _write_json(path: Path, document: dict[str, Any]) -> None:
    with replacing(path) as part:
        part.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
