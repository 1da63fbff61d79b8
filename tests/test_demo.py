"""The demo's figures are right: they come from every pixel, by the class maps that the products hold."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from PIL import Image

from rsmtl import demo
from rsmtl.errors import RunError
from rsmtl.store.folder import product_folder
from rsmtl.store.output import Output
from rsmtl.store.zarr import create_store, write_shard
from rsmtl.synthetic import CLASS_NODATA, CLASSES
from rsmtl.synthetic.catalogue import write_catalogue

SIZE = 96
IDS = ("landscape-0001", "landscape-0002")


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    return write_catalogue(tmp_path / "catalogue", n_scenes=2, size_px=SIZE, seed=5, collar=True)


def truth_of(catalogue: Path, scene: str) -> NDArray[np.uint8]:
    with rasterio.open(catalogue.parent / scene / "classes.tif") as file:
        return file.read(1)


def store_classes(catalogue: Path, products: Path, scene: str, classes: NDArray[np.uint8]) -> None:
    """Leave a class map where a run would."""
    with rasterio.open(catalogue.parent / scene / "classes.tif") as file:
        grid = GeoBox(file.shape, file.transform, file.crs)
    output = Output(
        "segmentation", "segmentation", ("segmentation",), "uint8", CLASS_NODATA, Fraction(1), CLASSES
    )
    folder = product_folder(products, scene)
    folder.mkdir(parents=True)
    create_store(folder, [output], grid, SIZE)
    write_shard(folder, output, 0, 0, classes[None])


def test_class_maps_that_are_the_truth_have_an_iou_of_one(catalogue: Path, tmp_path: Path) -> None:
    for scene in IDS:
        store_classes(catalogue, tmp_path / "products", scene, truth_of(catalogue, scene))
    found = demo.report(tmp_path, catalogue, tmp_path / "products")
    assert found.scores.mean_iou == 1.0
    assert found.n_scenes == 2
    assert found.n_px == sum(int((truth_of(catalogue, scene) != CLASS_NODATA).sum()) for scene in IDS)
    assert 0 < found.n_px < 2 * SIZE**2, "the collar does not count"
    assert found.classes == tuple(c.name for c in CLASSES)


def test_each_wrong_pixel_of_each_scene_counts(catalogue: Path, tmp_path: Path) -> None:
    wrong = 0
    for scene in IDS:
        classes = truth_of(catalogue, scene)
        turned = (classes == 1) & (np.arange(SIZE)[:, None] % 2 == 0)
        wrong += int(turned.sum())
        store_classes(catalogue, tmp_path / "products", scene, np.where(turned, 4, classes).astype(np.uint8))
    found = demo.report(tmp_path, catalogue, tmp_path / "products")
    assert wrong > 0
    assert found.confusion[1, 4] == wrong
    assert found.confusion.sum() - np.trace(found.confusion) == wrong
    grass = found.confusion[1].sum()
    assert found.scores.iou[1] == pytest.approx((grass - wrong) / grass)


def test_the_picture_shows_three_panels_and_the_text_tells_the_figures(
    catalogue: Path, tmp_path: Path
) -> None:
    for scene in IDS:
        store_classes(catalogue, tmp_path / "products", scene, truth_of(catalogue, scene))
    found = demo.report(tmp_path, catalogue, tmp_path / "products")
    with Image.open(found.picture) as picture:
        width, height = picture.size
        colors = {color for _, color in picture.convert("RGB").getcolors(width * height)}
    assert width > 2 * height
    assert {CLASSES[k].color for k in np.flatnonzero(found.confusion.sum(axis=1))} <= colors
    text = demo.describe(found)
    assert "mean IoU 1.000, against the generator's own land cover" in text
    assert f"all {found.n_px:,} valid pixels of 2 scenes" in text
    assert str(found.picture) in text


def test_a_scene_without_a_product_is_named(catalogue: Path, tmp_path: Path) -> None:
    store_classes(catalogue, tmp_path / "products", IDS[0], truth_of(catalogue, IDS[0]))
    with pytest.raises(RunError, match=rf"there is no product in .*{IDS[1]}: run the model"):
        demo.report(tmp_path, catalogue, tmp_path / "products")


def test_a_catalogue_that_stands_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "SIZE_PX", 32)
    made = demo.make_catalogue(tmp_path)
    stood = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert sum(path.name == "hrms.tif" for path in stood) == demo.N_SCENES
    assert demo.make_catalogue(tmp_path) == made
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == stood
