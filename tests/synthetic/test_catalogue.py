import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
from rio_cogeo.cogeo import cog_validate

from rsmtl.errors import InputError, RunError
from rsmtl.scene.open import open_scene, scene_refs
from rsmtl.synthetic import CLASSES, Landscape, write_catalogue

SIZE = 1030  # more than a chunk, and no multiple of 4


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    return write_catalogue(tmp_path_factory.mktemp("world"), 2, SIZE, 21, collar=True)


@pytest.fixture(scope="module")
def items(catalogue):
    return list(pystac.Catalog.from_file(str(catalogue)).get_items())


def test_the_catalogue_is_valid_and_self_contained(catalogue, items):
    pystac.Catalog.from_file(str(catalogue)).validate()
    for item in items:
        core = pystac.Item.from_file(item.self_href)
        core.stac_extensions = []  # their schemas would have to be fetched
        core.validate()
    assert [item.id for item in items] == ["landscape-0001", "landscape-0002"]
    hrefs = [
        link["href"] for link in json.loads(catalogue.read_text())["links"] if link["rel"] in ("item", "root")
    ]
    for item in items:
        document = json.loads(Path(item.self_href).read_text())
        hrefs += [link["href"] for link in document["links"]]
        hrefs += [asset["href"] for asset in document["assets"].values()]
    assert all(href.startswith(("./", "../")) for href in hrefs)
    assert str(catalogue.parent) not in catalogue.read_text()


def test_only_images_are_data(items):
    for item in items:
        assert {name: asset.roles for name, asset in item.assets.items()} == {
            "hrms": ["data"],
            "pan": ["data"],
            "ms": ["data"],
            "classes": ["labels"],
        }


def test_what_items_say_is_what_the_files_hold(items):
    for item in items:
        for asset in item.assets.values():
            with rasterio.open(asset.get_absolute_href()) as file:
                assert asset.extra_fields["proj:shape"] == list(file.shape)
                assert asset.extra_fields["proj:transform"] == list(file.transform)[:6]
                assert asset.extra_fields["nodata"] == file.nodata
                assert {asset.extra_fields["data_type"]} == set(file.dtypes)
                assert tuple(band["name"] for band in asset.extra_fields["bands"]) == file.descriptions
                assert item.properties["proj:code"] == f"EPSG:{file.crs.to_epsg()}"
                assert asset.extra_fields["gsd"] == file.res[0]


def test_images_are_cogs_that_hold_the_landscape(items):
    for item, column in zip(items, (0, 1032), strict=True):
        expected = Landscape(21, SIZE, SIZE, collar=True, origin_px=(0, column)).render(
            slice(None), slice(None)
        )
        for product, asset in item.assets.items():
            href = asset.get_absolute_href()
            valid, errors, _ = cog_validate(href, strict=True)
            assert valid, errors
            with rasterio.open(href) as file:
                assert np.array_equal(file.read(), expected.image(product)), product


def test_the_class_map_shows_its_colours(items):
    with rasterio.open(items[0].assets["classes"].get_absolute_href()) as file:
        colours = file.colormap(1)
    assert [colours[value][:3] for value in range(len(CLASSES))] == [c.color for c in CLASSES]
    listed = items[0].assets["classes"].extra_fields["classification:classes"]
    assert [entry["name"] for entry in listed] == [c.name for c in CLASSES]


def test_the_outline_is_that_of_the_strip(items):
    for item in items:
        with rasterio.open(item.assets["pan"].get_absolute_href()) as file:
            outline = rasterio.features.rasterize(
                [rasterio.warp.transform_geom("EPSG:4326", file.crs, item.geometry)],
                out_shape=file.shape,
                transform=file.transform,
            )
            assert (outline.astype(bool) != (file.read(1) > 0)).mean() < 0.01
        assert item.bbox[0] < item.bbox[2]
        assert item.bbox[1] < item.bbox[3]


def test_a_scene_opens_with_its_three_inputs(catalogue):
    refs = list(scene_refs(str(catalogue)))
    assert len(refs) == 2
    scene = open_scene(refs[1].source)
    assert scene.id == "landscape-0002"
    assert {name: found.bands for name, found in scene.inputs.items()} == {
        "hrms": ("red", "green", "blue"),
        "pan": ("pan",),
        "ms": ("red", "green", "blue", "nir"),
    }


def test_the_same_arguments_write_the_same_bytes(tmp_path):
    first, second = (write_catalogue(tmp_path / name, 1, 96, 4, clouds=True) for name in ("a", "b"))
    files = sorted(path.relative_to(first.parent) for path in first.parent.rglob("*") if path.is_file())
    assert files == sorted(
        path.relative_to(second.parent) for path in second.parent.rglob("*") if path.is_file()
    )
    assert len(files) == 6
    for path in files:
        assert (first.parent / path).read_bytes() == (second.parent / path).read_bytes(), path


def test_scenes_of_a_catalogue_do_not_overlap(tmp_path):
    catalogue = write_catalogue(tmp_path, 5, 50, 4)
    places = set()
    for item in pystac.Catalog.from_file(str(catalogue)).get_items():
        with rasterio.open(item.assets["pan"].get_absolute_href()) as file:
            places.add((file.bounds.left, file.bounds.top))
    lefts, tops = ({place[axis] for place in places} for axis in (0, 1))
    assert len(places) == 5
    assert np.diff(sorted(lefts)).min() >= 25.0
    assert np.diff(sorted(tops)).min() >= 25.0


def test_what_cannot_be_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(InputError, match="a catalogue needs at least one scene, but 0 were asked for"):
        write_catalogue(tmp_path, 0, 50, 4)
    (tmp_path / "landscape-0001").write_text("in the way")
    with pytest.raises(RunError, match=r"cannot write .*landscape-0001: File exists"):
        write_catalogue(tmp_path, 1, 50, 4)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_scene(tmp_path):
    def peak_kib(size_px):
        code = (
            "import resource, sys; from pathlib import Path; from rsmtl.synthetic import write_catalogue;"
            f"write_catalogue(Path(sys.argv[1]), 1, {size_px}, 5);"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        command = [sys.executable, "-c", code, str(tmp_path / str(size_px))]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert peak_kib(6144) < 1.1 * peak_kib(3072)
