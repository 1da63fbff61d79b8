"""`rsmtl evaluate`: what products are worth, and what cannot be measured."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from rsmtl.cli import main
from tests import fakes
from tests.cli.conftest import SMALL, Call
from tests.scene.rasters import image, write_raster

BOTH = ("--heads", ",".join(fakes.UREC_HEADS))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """Two products, of scenes `one` and `two`."""
    folder = tmp_path_factory.mktemp("products")
    scenes = [str(write_raster(folder / f"{name}.tif", image(3, 150, 170))) for name in ("one", "two")]
    assert main(["predict", *scenes, "--model", str(model), "--out", str(folder / "out"), *SMALL, *BOTH]) == 0
    return folder / "out"


@pytest.fixture
def products(made: Path, tmp_path: Path) -> Path:
    """Copies of them: measuring leaves its figures in a product."""
    return shutil.copytree(made, tmp_path / "out")


@pytest.fixture
def truths(products: Path) -> Path:
    """For each product its own class map."""
    folder = products.parent / "truths"
    folder.mkdir()
    for name in ("one", "two"):
        (folder / f"{name}.tif").write_bytes((products / name / "segmentation.tif").read_bytes())
    return folder


def test_a_product_against_its_own_classes(call: Call, products: Path, truths: Path) -> None:
    ended = call("evaluate", products / "one", "--truth", truths / "one.tif", "--json")
    assert ended.status == 0
    found = ended.json["products"][0]["heads"]["segmentation"]
    assert found["overall_accuracy"] == 1.0
    assert sum(map(sum, found["confusion"])) == found["n_px"]
    assert json.loads((products / "one" / "metrics.json").read_text())["segmentation"] == found
    assert "mean_iou" in ended.err
    assert call("verify", products / "one").status == 0


@pytest.mark.cluster
def test_a_folder_of_products_with_a_folder_of_truths(call: Call, products: Path, truths: Path) -> None:
    ended = call("evaluate", products, "--truth", truths, "--workers", 2, "--json")
    assert ended.status == 0
    assert [Path(found["folder"]).name for found in ended.json["products"]] == ["one", "two"]
    (truths / "two.tif").unlink()
    ended = call("evaluate", products, "--truth", truths, "--json")
    assert ended.status == 2
    assert len(ended.json["products"]) == 1
    assert "two: there is no truth two.tif in" in ended.err
    assert "name the files after the scenes" in ended.err


def test_one_truth_for_several_products_is_refused(call: Call, products: Path, truths: Path) -> None:
    ended = call("evaluate", products, "--truth", truths / "one.tif")
    assert ended.status == 2
    assert "is the truth of one scene, but there are several products" in ended.err


def test_infinity_and_nan_are_null_in_json(call: Call, products: Path) -> None:
    truth = products / "one" / "reconstruction.tif"
    ended = call("evaluate", products / "one", "--truth", truth, "--head", "reconstruction", "--json")
    assert ended.status == 0
    assert ended.json["products"][0]["heads"]["reconstruction"]["psnr_db"] is None
    assert "inf" in ended.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--head", "sr"), "no head 'sr' in"),
        (("--without", "clutter"), "there is no class 'clutter'"),
        (("--truth", "nowhere.tif"), "there is no truth at nowhere.tif: give a file"),
    ],
)
def test_what_cannot_be_measured_is_a_sentence(
    call: Call, products: Path, truths: Path, words: tuple[str, str], sentence: str
) -> None:
    given = words if words[0] == "--truth" else ("--truth", truths / "one.tif", *words)
    ended = call("evaluate", products / "one", *given)
    assert ended.status == 2
    assert sentence in ended.err
    assert "Traceback" not in ended.err
    assert not (products / "one" / "metrics.json").exists()


def test_without_truth_only_a_pansharpened_head_can_be_measured(
    call: Call, products: Path, tmp_path: Path
) -> None:
    ended = call("evaluate", products / "one")
    assert ended.status == 2
    assert "has no pansharpened head" in ended.err


@pytest.mark.parametrize("words", [("--head", "segmentation"), ("--without", "clutter")])
def test_what_belongs_to_a_truth_is_refused_without_one(
    call: Call, products: Path, words: tuple[str, str]
) -> None:
    ended = call("evaluate", products / "one", *words)
    assert ended.status == 2
    assert f"{words[0]} says how to compare with truth, but none is given: give --truth too" in ended.err


def test_classical_pansharpening_on_the_command_line(call: Call, tmp_path: Path) -> None:
    values = (fakes.textured((1, 160, 160)) * 2046 + 1).astype(np.uint16)
    pan = fakes.write_tiff(tmp_path / "pan.tif", values)
    blocks = values.reshape(1, 40, 4, 40, 4).mean(axis=(2, 4)).astype(np.uint16)
    ms = write_raster(
        tmp_path / "ms.tif",
        np.repeat(blocks, 3, axis=0),
        transform=Affine(2, 0, 500_000, 0, -2, 5_000_000),
        crs=fakes.CRS,
    )
    out = tmp_path / "out"
    pair = f"pan={pan}", f"ms={ms}"
    assert call("plan", *pair, "--model", "gsa", *SMALL).status == 0
    ended = call("predict", *pair, "--model", "gsa", "--out", out, *SMALL)
    assert ended.status == 0, ended.err
    assert call("verify", out).status == 0
    found = call("evaluate", out, "--json")
    assert found.status == 0, found.err
    assert set(found.json["products"][0]["heads"]["hrms"]) >= {"qnr", "hqnr", "d_s", "d_lambda"}
    ended = call(
        "predict", *pair, "--model", "gsa", "--radiometry", "scene", "--out", tmp_path / "no", *SMALL
    )
    assert ended.status == 2
    assert "gsa works on physical values" in ended.err
    ended = call("predict", pan, "--model", "gsa", "--out", out, *SMALL)
    assert ended.status == 2
    assert "gsa takes inputs 'pan' and 'ms'" in ended.err
