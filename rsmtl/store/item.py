"""`item.json`: the STAC item of a product, written last of all. Where there is an item, the product is complete."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from odc.geo.geobox import GeoBox
from pystac import Asset, Item, Link, MediaType
from pystac.extensions import eo, view
from pystac.utils import str_to_datetime

from rsmtl.errors import InputError
from rsmtl.models.spec import ModelSpec
from rsmtl.store import mlm
from rsmtl.store.folder import ITEM_NAME, PROVENANCE_NAME, QUICKLOOK_NAME, STORE_NAME, cog_path
from rsmtl.store.footprint import footprint
from rsmtl.store.grid import output_geobox
from rsmtl.store.output import Output
from rsmtl.store.place import Place, disk_errors, read, refuse_silence, write_text
from rsmtl.store.provenance import Run

FINGERPRINT = "rsmtl:fingerprint"
"""Property that holds the digest of everything that decides the product's bits."""

EXTENSIONS = (
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
    "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
)
CLASSIFICATION = "https://stac-extensions.github.io/classification/v1.1.0/schema.json"

INHERITED = {
    "platform": "",
    "constellation": "",
    "instruments": "",
    "mission": "",
    "eo:cloud_cover": eo.SCHEMA_URI,
    "view:off_nadir": view.SCHEMA_URI,
    "view:sun_azimuth": view.SCHEMA_URI,
    "view:sun_elevation": view.SCHEMA_URI,
}
"""Properties of the scene that are true of its product too, besides its time, and the extensions they belong to."""

_RANGES = {
    "eo:cloud_cover": (0, 100),
    "view:off_nadir": (0, 90),
    "view:sun_azimuth": (0, 360),
    "view:sun_elevation": (-90, 90),
}
"""Of numbers, by their extensions' schemas."""

_SHA256 = "1220"
"""Says in a multihash that 32 bytes of sha256 follow."""
_BLOCK_BYTES = 4 * 2**20
_ZARR = "application/vnd.zarr; version=3"


def write_item(
    folder: Place, run: Run, outputs: Sequence[Output], reference: GeoBox, inherited: Mapping[str, Any]
) -> Place:
    """Write the item of a product whose every other file stands.

    Parameters
    ----------
    reference
        Reference grid of the scene.
    inherited
        Properties of the scene; what they hold is not trusted.

    Returns
    -------
    Place
        Of `item.json`.

    Raises
    ------
    RunError
        If a file of the product is missing, or the item cannot be written.
    """
    path = folder / ITEM_NAME
    with disk_errors(path):
        text = json.dumps(_item(folder, run, outputs, reference, inherited), indent=2, allow_nan=False)
    write_text(path, text)
    return path


def finished(folder: Place) -> str | None:
    """Return the digest of the fingerprint of the product that stands in a folder; None if none does."""
    try:
        found = json.loads(read(folder / ITEM_NAME) or b"")["properties"][FINGERPRINT]
    except (ValueError, KeyError, TypeError):
        return None
    return str(found)


def damaged_files(folder: Place) -> tuple[str, ...]:
    """Return the files beside a product's item that are gone, or have another checksum than it says.

    Raises
    ------
    InputError
        If the item cannot be read.
    """
    try:
        assets = json.loads(read(folder / ITEM_NAME) or b"")["assets"]
        told = {asset["href"]: asset.get("file:checksum") for asset in assets.values()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{folder / ITEM_NAME} cannot be read as a STAC item: make the product again with --overwrite"
        ) from error
    ours = {
        href[2:]: checksum
        for href, checksum in told.items()
        if href.startswith("./") and ".." not in href.split("/") and checksum
    }
    return tuple(name for name, checksum in ours.items() if _checksum(folder / name) != checksum)


def _item(
    folder: Place, run: Run, outputs: Sequence[Output], reference: GeoBox, inherited: Mapping[str, Any]
) -> dict[str, Any]:
    geometry, bbox = footprint(reference)
    when, times = _times(inherited, run)
    kept = {name: inherited[name] for name in INHERITED if _is_valid(name, inherited.get(name))}
    item = Item(run.scene_id, geometry, bbox, when, {**times, **kept, **_processing(run), **_grid(reference)})
    item.stac_extensions = [*EXTENSIONS, *dict.fromkeys(INHERITED[name] for name in kept if INHERITED[name])]
    if any(output.classes for output in outputs):
        item.stac_extensions.append(CLASSIFICATION)
    for output in (one for one in outputs if not one.mask_of):  # masks are in the COGs of their values
        item.add_asset(output.name, _cog(folder, output, reference))
    _add_other_files(item, folder)
    if run.model_href:
        _add_model(item, run, {output.head for output in outputs})
    if run.derived_from:
        item.add_link(Link("derived_from", run.derived_from, MediaType.GEOJSON))
    return item.to_dict(include_self_link=False, transform_hrefs=False)


def _is_valid(name: str, value: Any) -> bool:
    """Whether an inherited property is what its name asks for: text, a list of text, or a number within its range."""
    if name == "instruments":
        return isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)
    if name in _RANGES:
        low, high = _RANGES[name]
        return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    return isinstance(value, str)


def _times(inherited: Mapping[str, Any], run: Run) -> tuple[datetime | None, dict[str, Any]]:
    """Return the time of the acquisition, or none and its start and end; what stands for it says so."""
    when, start, end = (_time(inherited.get(k)) for k in ("datetime", "start_datetime", "end_datetime"))
    if start and end:
        return when, {name: inherited[name] for name in ("start_datetime", "end_datetime")}
    if when:
        return when, {}
    unknown = "The time of acquisition is not known; this is"
    if updated := _time(inherited.get("updated")):
        return updated, {"description": f"{unknown} when the file was last changed."}
    return _time(run.finished), {"description": f"{unknown} that of processing."}


def _time(text: Any) -> datetime | None:
    try:
        return str_to_datetime(text) if isinstance(text, str) else None
    except (ValueError, OverflowError):
        return None


def _processing(run: Run) -> dict[str, Any]:
    settings = run.settings
    return {
        FINGERPRINT: run.fingerprint,
        "processing:datetime": run.finished,
        "processing:software": run.software,
        "processing:lineage": (
            f"{run.model_spec['system']} (weights {run.model_sha256[:12]}) over {run.windows_run} windows of "
            f"{settings['window']} pixels that overlap by {settings['overlap']}, by rsmtl {run.software['rsmtl']}"
        ),
    }


def _grid(grid: GeoBox) -> dict[str, Any]:
    """Projection fields; a CRS without a code is given in full, and none is what the extension calls it: null."""
    crs: dict[str, str | None] = {"proj:code": None}
    if grid.crs is not None:
        code = grid.crs.to_epsg()
        crs = {"proj:code": f"EPSG:{code}"} if code else {**crs, "proj:wkt2": grid.crs.to_wkt()}
    return {**crs, "proj:shape": list(grid.shape), "proj:transform": list(grid.affine)[:6]}


def _cog(folder: Place, output: Output, reference: GeoBox) -> Asset:
    path, grid = cog_path(folder, output.name), output_geobox(reference, output)
    fields = {**_grid(grid), "bands": _bands(output), "raster:sampling": "area", **_size_and_checksum(path)}
    if grid.crs is not None and grid.crs.units[0] == "metre":
        fields["gsd"] = max(abs(grid.resolution.x), abs(grid.resolution.y))
    if output.classes:
        fields["classification:classes"] = mlm.class_objects(output.classes, output.nodata)
    title = output.description.capitalize() or output.name
    return Asset(f"./{path.name}", title, None, MediaType.COG, ["data"], extra_fields=fields)


def _bands(output: Output) -> list[dict[str, Any]]:
    """Return each band's name, type, sentinel, unit, and scale and offset where there are any."""
    bands = []
    for k, name in enumerate(output.bands):
        band: dict[str, Any] = {"name": name, "data_type": output.dtype}
        if output.nodata is not None:
            band["nodata"] = "nan" if output.nodata != output.nodata else output.nodata
        if output.unit:
            band["unit"] = output.unit
        if not output.classes:
            band["raster:scale"] = output.band_scale[k % len(output.band_scale)]
            band["raster:offset"] = output.band_offset[k % len(output.band_offset)]
        bands.append(band)
    return bands


def _add_other_files(item: Item, folder: Place) -> None:
    item.add_asset("zarr", Asset(f"./{STORE_NAME}", "All outputs, sharded by chunk", None, _ZARR, ["data"]))
    for key, name, title, kind, roles in (
        ("quicklook", QUICKLOOK_NAME, "Scene and outputs, small", MediaType.PNG, ["thumbnail", "overview"]),
        ("run", PROVENANCE_NAME, "What the product was made from, and how", MediaType.JSON, ["metadata"]),
    ):
        fields = _size_and_checksum(folder / name)
        item.add_asset(key, Asset(f"./{name}", title, None, kind, roles, extra_fields=fields))


def _size_and_checksum(path: Place) -> dict[str, Any]:
    return {"file:size": path.stat().st_size, "file:checksum": _checksum(path)}


def _checksum(path: Place) -> str:
    """Return the multihash of a file; of none that can be read, nothing."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    except MemoryError:
        raise
    except Exception as error:
        refuse_silence(path, error)
        return ""
    return _SHA256 + digest.hexdigest()


def _add_model(item: Item, run: Run, heads: set[str]) -> None:
    """Describe the model and point to its weights; the extension asks for them, so only where they are a file."""
    spec, name = ModelSpec.model_validate(run.model_spec), Path(run.model_href).stem
    spec = spec.model_copy(update={"heads": tuple(h for h in spec.heads if h.name in heads)})
    item.stac_extensions.append(mlm.SCHEMA)
    item.properties |= mlm.mlm_properties(spec, name, run)
    item.properties["bands"] = [{"name": name} for i in spec.inputs for name in mlm.band_names(i)]
    fields = {
        "mlm:artifact_type": "torch.export.save"
        if run.model_href.endswith(".pt2")
        else "safetensors.torch.save_file",
        "file:checksum": f"{_SHA256}{run.model_sha256}",
    }
    model = Asset(run.model_href, f"Weights of {name}", None, "application/octet-stream", ["mlm:model"])
    model.extra_fields = fields
    item.add_asset("model", model)
