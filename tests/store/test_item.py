import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pystac
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from rsmtl.errors import RunError
from rsmtl.store.item import finished, write_item
from rsmtl.store.output import Output
from rsmtl.store.provenance import Run
from tests.store.products import COARSE, HRMS, SEGMENTATION, SUPER, utm
from tests.store.runs import run_of, write_small_files

SCENE = {
    "datetime": "2020-02-19T11:34:25.405000Z",
    "platform": "sentinel-2a",
    "instruments": ["msi"],
    "eo:cloud_cover": 4.05,
    "proj:epsg": 32629,
    "gsd": 60,
}
ALL = (SEGMENTATION, HRMS, SUPER, COARSE)


def written(
    folder: Path,
    outputs: tuple[Output, ...] = ALL,
    run: Run | None = None,
    properties: Mapping[str, Any] = SCENE,
    reference: GeoBox | None = None,
) -> dict[str, Any]:
    write_small_files(folder, *outputs)
    path = write_item(folder, run or run_of(), outputs, reference or utm(200, 300), properties)
    assert path == folder / "item.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def check_core(found: dict[str, Any]) -> None:
    """Against the schemas that pystac carries; those of extensions would need a network."""
    pystac.Item.from_dict({**found, "stac_extensions": []}, migrate=False).validate()


def test_the_item_is_a_valid_stac_item(tmp_path: Path) -> None:
    found = written(tmp_path)
    check_core(found)
    assert found["stac_version"] == "1.1.0"
    assert found["id"] == "S2A_29RKH_20200219_0_L2A"
    assert found["properties"]["datetime"] == "2020-02-19T11:34:25.405000Z"
    assert found["properties"]["platform"] == "sentinel-2a"
    assert found["properties"]["rsmtl:fingerprint"] == "f" * 64
    assert not {"proj:epsg", "gsd"} & set(found["properties"])
    assert found["bbox"] == pytest.approx([13.945, 31.613, 13.977, 31.631], abs=1e-3)
    (link,) = found["links"]
    assert link["rel"] == "derived_from"
    assert link["href"] == "/data/stac/s2_29RKH/item.json"


def test_assets_are_beside_the_item_and_say_what_they_hold(tmp_path: Path) -> None:
    found = written(tmp_path)
    assets = found["assets"]
    assert set(assets) == {"segmentation", "hrms", "sr", "ms", "zarr", "quicklook", "run", "model"}
    for name in ("segmentation", "hrms", "sr", "ms"):
        assert assets[name]["href"] == f"./{name}.tif"
        with rasterio.open(tmp_path / f"{name}.tif") as cog:
            assert assets[name]["proj:shape"] == list(cog.shape)
            assert assets[name]["proj:transform"] == list(cog.transform)[:6]
            assert [band["name"] for band in assets[name]["bands"]] == list(cog.descriptions)
            assert {band["data_type"] for band in assets[name]["bands"]} == set(cog.dtypes)
        assert assets[name]["file:size"] == (tmp_path / f"{name}.tif").stat().st_size
        assert assets[name]["file:checksum"].startswith("1220")
    assert assets["segmentation"]["bands"][0]["nodata"] == 255
    assert assets["ms"]["bands"][0]["nodata"] == "nan"
    assert (assets["sr"]["gsd"], assets["ms"]["gsd"]) == (2.5, 40)
    assert assets["hrms"]["bands"][3]["raster:scale"] == 1e-4
    assert assets["hrms"]["bands"][3]["raster:offset"] == -0.1
    assert [(c["value"], c["name"]) for c in assets["segmentation"]["classification:classes"]] == [
        (0, "bare_land"),
        (1, "forest"),
        (2, "water"),
        (255, "nodata"),
    ]
    assert assets["quicklook"]["roles"] == ["thumbnail", "overview"]
    assert assets["model"]["href"] == "/models/urec-landscape.safetensors"


def test_the_model_is_described(tmp_path: Path) -> None:
    properties = written(tmp_path)["properties"]
    assert properties["mlm:name"] == "urec-landscape"
    assert properties["mlm:architecture"] == "urec"
    assert properties["mlm:tasks"] == ["regression", "semantic-segmentation", "super-resolution"]
    assert properties["mlm:input"][0]["input"]["shape"] == [2, 4, 512, 512]
    assert properties["mlm:input"][0]["value_scaling"] == [{"type": "min-max", "minimum": 0, "maximum": 1}]
    assert properties["mlm:output"][2]["result"]["shape"] == [2, 3, 2048, 2048]
    assert properties["mlm:hyperparameters"] == {"window": 512, "overlap": 64, "batch": 2, "extras": []}
    assert properties["processing:software"]["torch"] == properties["mlm:framework_version"]
    assert "over 5 windows of 512 pixels that overlap by 64" in properties["processing:lineage"]


@pytest.mark.parametrize("source", ["", "1", "très bon", "m_", "urec.v2"])
def test_any_name_of_a_model_is_valid(tmp_path: Path, source: str, real_data: Path) -> None:
    run = (
        run_of(model_href=f"/models/{source}.safetensors")
        if source
        else run_of(model_href="", derived_from="")
    )
    found = written(tmp_path, (SEGMENTATION,), run)
    check_extensions(found, real_data.parent / "schemas")
    assert ("model" in found["assets"]) == bool(source)
    assert len(found["links"]) == bool(source)


@pytest.mark.parametrize("outputs", [ALL, (HRMS,), (SEGMENTATION,)], ids=["all", "continuous", "classes"])
def test_every_extension_is_valid_and_used(
    tmp_path: Path, outputs: tuple[Output, ...], real_data: Path
) -> None:
    found = written(tmp_path, outputs)
    checked = check_extensions(found, real_data.parent / "schemas")
    assert {"projection", "processing", "raster", "file", "mlm"} <= checked
    assert ("classification" in checked) == (SEGMENTATION in outputs)


@pytest.mark.parametrize(
    ("properties", "expected", "described"),
    [
        ({}, "2026-01-02T03:05:06Z", True),
        ({"datetime": None}, "2026-01-02T03:05:06Z", True),
        ({"datetime": "yesterday"}, "2026-01-02T03:05:06Z", True),
        ({"datetime": 17}, "2026-01-02T03:05:06Z", True),
        ({"updated": "2020-02-19"}, "2020-02-19T00:00:00Z", True),
        ({"datetime": "2020-02-19"}, "2020-02-19T00:00:00Z", False),
        (
            {
                "datetime": None,
                "start_datetime": "2020-01-01T00:00:00Z",
                "end_datetime": "2020-02-01T00:00:00Z",
            },
            None,
            False,
        ),
        ({"start_datetime": "2020-01-01T00:00:00Z"}, "2026-01-02T03:05:06Z", True),
    ],
)
def test_a_scene_without_a_time_says_so(
    tmp_path: Path, properties: dict[str, Any], expected: str | None, described: bool
) -> None:
    found = written(tmp_path, (SEGMENTATION,), properties=properties)
    check_core(found)
    assert found["properties"]["datetime"] == expected
    assert ("description" in found["properties"]) == described


def test_properties_that_are_no_json_are_left_out(tmp_path: Path) -> None:
    found = written(
        tmp_path, (SEGMENTATION,), properties={**SCENE, "eo:cloud_cover": float("nan"), "platform": {1}}
    )
    assert not {"eo:cloud_cover", "platform"} & set(found["properties"])
    assert not [uri for uri in found["stac_extensions"] if "/eo/" in uri]


@pytest.mark.parametrize(
    "reference",
    [
        GeoBox((200, 300), Affine(1e-4, 0, 179.99, 0, -1e-4, 41.9), "EPSG:4326"),
        GeoBox((200, 300), Affine(1000, 0, -1e5, 0, -1000, 1e5), "EPSG:3031"),
        GeoBox((200, 300), Affine(0.1, 0, 10, 0, -0.1, 10), "+proj=longlat +R=3396190 +no_defs"),
        GeoBox((200, 300), Affine(10, 0, 0, 0, -10, 0), "+proj=laea +lat_0=10 +lon_0=20 +units=m"),
        GeoBox((200, 300), Affine(1, 0, 0, 0, -1, 0), None),
    ],
    ids=["antimeridian", "pole", "mars", "no code", "nowhere"],
)
def test_an_item_anywhere_is_valid(tmp_path: Path, reference: GeoBox, real_data: Path) -> None:
    found = written(tmp_path, (SEGMENTATION,), reference=reference)
    check_core(found)
    check_extensions(found, real_data.parent / "schemas")
    if reference.crs is None or "3396190" in str(reference.crs):
        assert found["geometry"] is None
        assert "bbox" not in found
    else:
        assert len(found["bbox"]) == 4


def test_an_item_stands_only_for_a_whole_product(tmp_path: Path) -> None:
    write_small_files(tmp_path, SEGMENTATION)
    (tmp_path / "segmentation.tif").unlink()
    with pytest.raises(RunError, match=r"cannot write .*item\.json: No such file or directory"):
        write_item(tmp_path, run_of(), (SEGMENTATION,), utm(200, 300), SCENE)
    assert finished(tmp_path) is None


def test_finished_is_the_fingerprint_of_what_stands(tmp_path: Path) -> None:
    assert finished(tmp_path) is None
    written(tmp_path, (SEGMENTATION,))
    assert finished(tmp_path) == "f" * 64
    whole = (tmp_path / "item.json").read_bytes()
    for damaged in (b"", b"[]", b'{"type": "Feature"}', whole[: len(whole) // 2], b"\xff"):
        (tmp_path / "item.json").write_bytes(damaged)
        assert finished(tmp_path) is None


@pytest.mark.parametrize(
    ("key", "value"), [("mlm:tasks", ["guessing"]), ("processing:datetime", "today"), ("proj:shape", [1])]
)
def test_a_wrong_field_is_found(tmp_path: Path, key: str, value: Any, real_data: Path) -> None:
    found = written(tmp_path, (SEGMENTATION,))
    found["properties"][key] = value
    with pytest.raises(jsonschema.ValidationError):
        check_extensions(found, real_data.parent / "schemas")


def check_extensions(found: dict[str, Any], folder: Path) -> set[str]:
    """Validate against the schemas of the extensions that are at hand; return their names."""
    if not folder.is_dir():
        pytest.skip(f"needs the schemas of the STAC extensions in {folder}")
    schemas = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    registry: Registry[Any] = Registry(retrieve=_retrieve).with_resources(
        (schema["$id"].rstrip("#"), Resource.from_contents(schema)) for schema in schemas.values()
    )
    checked = set()
    for name, schema in schemas.items():
        if schema["$id"].rstrip("#") in found["stac_extensions"]:
            jsonschema.Draft7Validator(schema, registry=registry).validate(found)
            checked.add(name)
    return checked


def _retrieve(uri: str) -> Resource[Any]:
    """Schemas that those of the extensions refer to, from what pystac carries."""
    carried = Path(str(files("pystac.validation.jsonschemas")))
    if uri.startswith("https://geojson.org/schema/"):
        return Resource.from_contents(json.loads((carried / "geojson" / uri.rpartition("/")[2]).read_text()))
    if "/raster/v1.1.0/" in uri:  # asked for the names of data types only, which are STAC's own now
        types = json.loads((carried / "stac-spec/v1.1.0/data-values.json").read_text())
        bands = {"items": {"properties": {"data_type": types["properties"]["data_type"]}}}
        return DRAFT7.create_resource({"definitions": {"bands": bands}})
    if "/processing/v1.1.0/" in uri:  # asked for expressions, of which there are none here
        return DRAFT7.create_resource(
            {"definitions": {"fields": {"properties": {"processing:expression": {"type": "object"}}}}}
        )
    raise LookupError(uri)
