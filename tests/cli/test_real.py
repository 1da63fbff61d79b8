"""Real imagery through the command line: products, or for a scene that the model cannot take one line why."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from tests.cli.conftest import Call, assert_refused

pytestmark = pytest.mark.real


@pytest.mark.slow
def test_sentinel_2(call: Call, tmp_path: Path, real_data: Path) -> None:
    item = real_data / "stac/s2_29RKH/item.json"
    words = (
        "--assets",
        "red,green,blue",
        "--model",
        "urec-landscape",
        "--any-gsd",
        "--out",
        tmp_path,
        "--json",
    )
    ended = call("predict", item, *words)
    assert ended.status == 0
    folder = Path(ended.json["scenes"][0]["folder"])
    with rasterio.open(folder / "segmentation.tif") as file:
        assert (file.shape, file.crs.to_epsg()) == ((1098, 1098), 32629)
        assert np.unique(file.read(1)).max() < 6
    assert call("verify", folder, "--chunks", 2).status == 0


def test_a_collection_of_several_sensors(call: Call, model: Path, tmp_path: Path, real_data: Path) -> None:
    collection = real_data / "stac/planet-disaster/collection.json"
    ended = call("predict", collection, "--model", model, "--out", tmp_path, "--json")
    for found in ended.json["scenes"]:
        assert (found["result"] == "written") == (tmp_path / found["scene"] / "item.json").exists()
    assert len(ended.json["scenes"]) == 5
    assert len(ended.err.splitlines()[: len(ended.json["errors"])]) == len(ended.json["errors"])
    assert "written" in [found["result"] for found in ended.json["scenes"]]


def test_single_rasters(call: Call, model: Path, tmp_path: Path, real_data: Path) -> None:
    scenes = sorted((real_data / "scenes").glob("*.[tT][iI][fF]"))
    ended = call("predict", *scenes, "--model", model, "--out", tmp_path, "--json")
    results = {found["scene"]: found["result"] for found in ended.json["scenes"]}
    assert results.pop("rgb_byte_718x791") == "written"
    assert set(results.values()) == {"failed"}  # of one band
    assert ended.status == 2
    assert all("takes 3 bands" in error["message"] for error in ended.json["errors"])


def test_an_image_without_a_place_on_earth(call: Call, model: Path, tmp_path: Path, real_data: Path) -> None:
    ended = call("predict", real_data / "dubai/tile1/image_part_001.jpg", "--model", model, "--out", tmp_path)
    assert_refused(ended, tmp_path, "has no coordinate reference system")
