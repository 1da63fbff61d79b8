"""`rsmtl verify`: a product is what its model gives, or it is said where it is not."""

import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import SMALL, Call, assert_refused


@pytest.fixture
def product(call: Call, scene: Path, model: Path) -> Path:
    out = scene.parent / "out"
    assert call("predict", scene, "--model", model, "--out", out, *SMALL, "--chunk", 2).status == 0
    return out / "scene"


def test_a_product_and_a_folder_of_products(call: Call, product: Path) -> None:
    for folder in (product, product.parent):
        ended = call("verify", folder, "--chunks", 3, "--json")
        assert ended.status == 0
        found = ended.json["products"][0]
        assert (found["n_chunks"], len(found["checked"]), found["differing"]) == (4, 3, [])
        assert "equal bit by bit" in ended.err
        told = {seam["output"]: seam["words"] for seam in found["seams"]}
        assert set(told) == {"segmentation"}
        for output, words in told.items():
            assert f"scene, {output}: {words}" in ended.err


def test_a_chunk_that_differs(call: Call, product: Path, scene: Path, model: Path) -> None:
    shard = next(path for path in (product / "product.zarr").rglob("*/segmentation/c/0/1/1"))
    shutil.copy(shard.parents[1] / "0" / "1", shard)
    ended = call("verify", product, "--chunks", 4)
    assert ended.status == 1
    assert (
        "scene: the shard of 'segmentation' in chunk (1, 1) changed after the product was made (checksums differ), or "
        "went missing, so its item.json was withdrawn: mend the product with `rsmtl predict --resume`"
    ) in ended.err
    assert len(ended.err.splitlines()) == 1
    assert "differs" in ended.out
    assert not (product / "item.json").exists()
    assert (
        call(
            "predict", scene, "--model", model, "--out", product.parent, *SMALL, "--chunk", 2, "--resume"
        ).status
        == 0
    )
    assert call("verify", product, "--chunks", 4).status == 0


def test_no_product(call: Call, tmp_path: Path) -> None:
    assert_refused(call("verify", tmp_path / "nothing"), tmp_path, "holds no finished product: give a folder")
