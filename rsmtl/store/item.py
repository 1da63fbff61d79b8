"""`item.json`: the STAC item of a product, written last of all. Where there is an item, the product is complete."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pystac
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from pystac import Asset, Item, Link, MediaType

from rsmtl.models.spec import ModelSpec
from rsmtl.store import mlm
from rsmtl.store.folder import ITEM_NAME, PROVENANCE_NAME, QUICKLOOK_NAME, STORE_NAME, cog_path, replacing
from rsmtl.store.grid import output_geobox
from rsmtl.store.output import Output
from rsmtl.store.provenance import Run

FINGERPRINT = "rsmtl:fingerprint"
"""Property that holds the digest of everything that decides the product's bits."""

EXTENSIONS = [
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
    "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
    "https://stac-extensions.github.io/classification/v1.1.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
]

DENSIFIED = 50
"""Points along the longer edge of a footprint: what is straight on the map is not so in degrees."""

INHERITED = (
    "platform",
    "constellation",
    "instruments",
    "gsd",
    "eo:cloud_cover",
    "start_datetime",
    "end_datetime",
)
"""Properties of the scene that are true of its product too, besides `datetime`."""


def write_item(
    folder: Path, run: Run, outputs: Sequence[Output], reference: GeoBox, inherited: Mapping[str, Any]
) -> Path:
    """Write the item of a product whose every other file stands.

    Parameters
    ----------
    reference
        Reference grid of the scene.
    inherited
        Properties of the scene.

    Returns
    -------
    Path
        Of `item.json`.

    Raises
    ------
    RunError
        If it cannot be written.
    """
    spec = ModelSpec.model_validate(run.model_spec)
    geometry, bbox = footprint(reference)
    when, properties = _when(inherited)
    properties |= {key: inherited[key] for key in INHERITED if key in inherited}
    properties |= _processing(run) | _grid(reference)
    properties |= {"bands": [{"name": band} for wanted in spec.inputs for band in mlm.band_names(wanted)]}
    item = Item(run.scene_id, geometry, bbox, when, properties, stac_extensions=list(EXTENSIONS))
    _add_model(item, run, spec)
    _add_assets(item, folder, outputs, reference)
    path = folder / ITEM_NAME
    if run.derived_from:
        item.add_link(Link("derived_from", run.derived_from, MediaType.JSON))
    item.set_self_href(str(path))
    item.make_asset_hrefs_relative()
    with replacing(path) as part:
        part.write_text(json.dumps(item.to_dict(include_self_link=False), indent=2), encoding="utf-8")
    return path


def finished(folder: Path) -> str | None:
    """Return the fingerprint's digest of the product that stands in a folder; None if none does."""
    try:
        found = json.loads((folder / ITEM_NAME).read_text(encoding="utf-8"))["properties"][FINGERPRINT]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(found)


def footprint(reference: GeoBox) -> tuple[dict[str, Any], list[float]]:
    """Return a grid's outline, edges densified, and its bounds, in longitude and latitude.

    An outline across the antimeridian is cut in two there, and the west of its bounds is then east of their east,
    as GeoJSON asks.
    """
    extent = reference.extent
    step = max(extent.boundingbox.span_x, extent.boundingbox.span_y) / DENSIFIED
    outline = extent.to_crs("EPSG:4326", resolution=step, wrapdateline=True)
    boxes = [part.boundingbox for part in outline] if outline.is_multi else [outline.boundingbox]
    crossing = (
        len(boxes) > 1 and max(box.right for box in boxes) > 179 and min(box.left for box in boxes) < -179
    )
    west = min(box.left for box in boxes if box.left > 0 or not crossing)
    east = max(box.right for box in boxes if box.right < 0 or not crossing)
    south, north = min(box.bottom for box in boxes), max(box.top for box in boxes)
    return outline.json, [float(edge) for edge in (west, south, east, north)]


def _when(inherited: Mapping[str, Any]) -> tuple[datetime | None, dict[str, Any]]:
    """The time of the acquisition; an item without one must say so, and give a start and an end."""
    stated = inherited.get("datetime")
    if stated:
        return pystac.utils.str_to_datetime(str(stated)), {}
    if "start_datetime" in inherited and "end_datetime" in inherited:
        return None, {}
    return datetime.now(UTC), {
        "description": "the time of the acquisition is not known; this is the product's"
    }


def _processing(run: Run) -> dict[str, Any]:
    return {
        FINGERPRINT: run.fingerprint,
        "processing:software": run.software,
        "processing:datetime": run.finished,
        "processing:lineage": (
            f"{run.model_spec['system']} (weights {run.model_sha256[:12]}) over {run.windows_run} windows of "
            f"{run.settings['window']} px, overlap {run.settings['overlap']} px, by rsmtl {run.software['rsmtl']}"
        ),
    }


def _grid(geobox: GeoBox) -> dict[str, Any]:
    """Projection fields; a CRS without a code is given in full."""
    found = CRS(geobox.crs)
    code = found.to_epsg()
    crs = {"proj:code": f"EPSG:{code}"} if code else {"proj:code": None, "proj:wkt2": found.to_wkt()}
    return {**crs, "proj:shape": list(geobox.shape), "proj:transform": list(geobox.affine)[:6]}


def _add_model(item: Item, run: Run, spec: ModelSpec) -> None:
    """Describe the model, and link its weights where they are a file; the extension asks for such an asset."""
    name = Path(run.model_source).stem or spec.system
    item.properties |= mlm.mlm_properties(spec, name, run.settings["window"], run.settings["batch"])
    if not run.model_source:
        return
    item.stac_extensions.append(mlm.SCHEMA)
    weights = {"mlm:artifact_type": "safetensors.torch.save_file", "rsmtl:sha256": run.model_sha256}
    item.add_asset(
        "model", Asset(run.model_href, f"weights of {name}", roles=["mlm:model"], extra_fields=weights)
    )


def _add_assets(item: Item, folder: Path, outputs: Sequence[Output], reference: GeoBox) -> None:
    for output in outputs:
        path = cog_path(folder, output.name)
        fields = {
            **_grid(output_geobox(reference, output)),
            **_stored_as(output),
            "file:size": path.stat().st_size,
        }
        item.add_asset(
            output.name,
            Asset(str(path), output.description, None, MediaType.COG, ["data"], extra_fields=fields),
        )
    store = Asset(
        str(folder / STORE_NAME), "all outputs, sharded by chunk", None, "application/vnd.zarr", ["data"]
    )
    item.add_asset("zarr", store)
    quicklook = Asset(
        str(folder / QUICKLOOK_NAME), "quicklook", None, MediaType.PNG, ["overview", "thumbnail"]
    )
    item.add_asset("quicklook", quicklook)
    run = Asset(
        str(folder / PROVENANCE_NAME), "what the product was made from", None, MediaType.JSON, ["metadata"]
    )
    item.add_asset("run", run)


def _stored_as(output: Output) -> dict[str, Any]:
    """Bands with their type, sentinel, scale and offset; the classes of a class map."""
    bands = []
    for k, name in enumerate(output.bands):
        band: dict[str, Any] = {"name": name, "data_type": output.dtype}
        if output.nodata is not None:
            band["nodata"] = "nan" if output.nodata != output.nodata else output.nodata
        band["raster:scale"] = output.band_scale[k % len(output.band_scale)]
        band["raster:offset"] = output.band_offset[k % len(output.band_offset)]
        bands.append(band)
    fields: dict[str, Any] = {"bands": bands}
    if output.classes:
        fields["classification:classes"] = mlm.class_objects(output.classes)
    return fields
