"""`verify` finds what is not what the model gives."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rsmtl.config import Settings
from rsmtl.engine.drain import Progress
from rsmtl.engine.plan import plan
from rsmtl.engine.product import Product, write
from rsmtl.engine.verify import verify, withdraw
from rsmtl.errors import InputError, RunError
from rsmtl.models.checkpoint import load_model
from rsmtl.scene.open import open_scene
from rsmtl.store import zarr as store_zarr
from rsmtl.store.claim import claimed
from rsmtl.store.ledger import Ledger
from rsmtl.store.output import Output
from rsmtl.store.zarr import read_region, write_shard
from tests import fakes

SETTINGS = Settings(window=64, overlap=16, chunk=2, heads=fakes.UREC_HEADS)
SIZE = 250, 310


def made_in(home: Path) -> Product:
    """Write a scene, a model and their product into a folder."""
    scene = open_scene(fakes.ragged_tiff(home / "scene.tif", *SIZE))
    model = load_model(fakes.random_checkpoint(home / "random.safetensors"))
    return write(scene, model, home / "out", SETTINGS)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Product:
    product = made_in(tmp_path_factory.mktemp("home"))
    shutil.copytree(product.folder, product.folder.with_name("as it was"))
    return product


@pytest.fixture
def product(finished: Product) -> Product:
    """As it was before any test; tests that change its scene or its model make their own."""
    shutil.rmtree(finished.folder)
    shutil.copytree(finished.folder.with_name("as it was"), finished.folder)
    return finished


@pytest.fixture
def home(product: Product) -> Path:
    """The folder of the product's scene and model."""
    return product.folder.parents[1]


def test_a_product_verifies(product: Product) -> None:
    found = verify(product.folder, n_chunks=100)
    assert len(found.checked) == found.n_chunks == 12
    assert found.differing == ()
    assert len(verify(product.folder, n_chunks=3).checked) == 3


def test_one_wrong_pixel_is_found(product: Product, home: Path) -> None:
    output = plan_outputs(home)[0]
    shard = read_region(product.folder, output, slice(96, 192), slice(192, 288))
    row, col = np.argwhere(shard[0] != output.nodata)[0]
    shard[0, row, col] = (shard[0, row, col] + 1) % 6
    write_shard(product.folder, output, 96, 192, shard)
    found = verify(product.folder, n_chunks=100)
    assert found.differing == found.torn == (((1, 2), "segmentation"),)


def test_what_the_model_does_not_give_is_told_from_what_was_not_written(product: Product, home: Path) -> None:
    """A chunk that was written, checksum and all, by something else than this model."""
    output = plan_outputs(home)[0]
    shard = read_region(product.folder, output, slice(96, 192), slice(192, 288))
    shard[shard != output.nodata] = 5
    ledger = Ledger(product.folder)
    record = ledger.done()[1, 2]
    sha256 = {**record.sha256, "segmentation": write_shard(product.folder, output, 96, 192, shard)}
    ledger.mark_done((1, 2), replace(record, sha256=sha256))
    found = verify(product.folder, n_chunks=100)
    assert found.differing == (((1, 2), "segmentation"),)
    assert found.torn == found.damaged == ()
    withdraw(found)
    assert (product.folder / "item.json").exists()


def tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [tear, flip, Path.unlink], ids=["torn", "bit flipped", "gone"])
def test_a_damaged_shard_is_found_and_mended_by_resuming(product: Product, home: Path, harm) -> None:
    shards = sorted((product.folder / "product.zarr").rglob("c/*/*/*"))
    before = {path: path.read_bytes() for path in shards}
    harm(shards[7])
    found = verify(product.folder, n_chunks=1)
    assert len(found.torn) == 1
    assert found.damaged == ()
    withdraw(found)
    assert not (product.folder / "item.json").exists()
    again = resumed(home)
    assert again.windows_run < product.windows_run
    assert {path: path.read_bytes() for path in shards} == before
    found = verify(product.folder, n_chunks=100)
    assert found.torn == found.damaged == found.differing == ()


@pytest.mark.parametrize("name", ["segmentation/zarr.json", "y/c/0", "spatial_ref/zarr.json", "zarr.json"])
def test_damaged_metadata_are_found_and_mended_by_resuming(product: Product, home: Path, name: str) -> None:
    file = next(
        path for path in (product.folder / "product.zarr").rglob(name.split("/")[-1]) if name in str(path)
    )
    before = file.read_bytes()
    flip(file)
    found = verify(product.folder, n_chunks=1)
    assert found.damaged == (str(file.relative_to(product.folder)),)
    withdraw(found)
    resumed(home)
    assert file.read_bytes() == before
    assert verify(product.folder, n_chunks=1).damaged == ()


def test_a_damaged_fingerprint_is_found_and_mended_by_resuming(product: Product, home: Path) -> None:
    file = product.folder / "ledger" / "fingerprint.json"
    before = file.read_bytes()
    tear(file)
    found = verify(product.folder, n_chunks=1)
    assert (found.damaged, found.torn) == (("ledger/fingerprint.json",), ())
    withdraw(found)
    assert resumed(home).windows_run == 0
    assert file.read_bytes() == before


def resumed(folder: Path) -> Product:
    scene, model = open_scene(folder / "scene.tif"), load_model(folder / "random.safetensors")
    return write(
        scene,
        model,
        folder / "out",
        SETTINGS,
        resume=True,
    )


def test_a_cog_that_was_changed_or_removed_is_named(product: Product) -> None:
    first, second = sorted(product.folder.glob("*.tif"))
    first.write_bytes(first.read_bytes()[:-1] + b"!")
    second.unlink()
    found = verify(product.folder, n_chunks=1)
    assert set(found.damaged) == {first.name, second.name}
    assert found.differing == ()


def test_an_input_that_changed_is_named(tmp_path: Path) -> None:
    product = made_in(tmp_path)
    values = (fakes.textured((3, *SIZE), seed=9) * 2046 + 1).astype(np.uint16)
    fakes.write_tiff(tmp_path / "scene.tif", values, nodata=0)
    found = verify(product.folder, n_chunks=100)
    assert found.differing
    assert found.changed_inputs == (str(tmp_path / "scene.tif"),)


def test_a_damaged_record_of_the_run_is_a_sentence(product: Product) -> None:
    (product.folder / "run.json").write_text('{"half": ')
    with pytest.raises(InputError, match=r"run.json is damaged .*: make the product again with --overwrite"):
        verify(product.folder)


def plan_outputs(folder: Path) -> tuple[Output, ...]:
    scene, model = open_scene(folder / "scene.tif"), load_model(folder / "random.safetensors")
    return plan(scene, model, SETTINGS).outputs


def test_other_weights_are_refused(tmp_path: Path) -> None:
    product = made_in(tmp_path)
    fakes.random_checkpoint(tmp_path / "random.safetensors", seed=5)
    with pytest.raises(InputError, match=r"the weights of .* are not those the product was made with"):
        verify(product.folder)


def test_no_product_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no product in"):
        verify(tmp_path)


def test_an_input_on_another_grid_withdraws_nothing(tmp_path: Path) -> None:
    product = made_in(tmp_path)
    fakes.ragged_tiff(tmp_path / "scene.tif", SIZE[0] + 1, SIZE[1])
    with pytest.raises(
        InputError, match="has another grid than when the product was made: put its files back"
    ):
        verify(product.folder)
    assert (product.folder / "item.json").exists()


def test_other_software_that_would_write_other_metadata_finds_no_damage(
    product: Product, monkeypatch
) -> None:
    attributes = store_zarr.attributes
    monkeypatch.setattr(store_zarr, "attributes", lambda output: {**attributes(output), "new": 1})
    assert verify(product.folder, n_chunks=1).damaged
    run = json.loads((product.folder / "run.json").read_text())
    run["software"]["xarray"] = "2020.1.0"
    (product.folder / "run.json").write_text(json.dumps(run))
    assert verify(product.folder, n_chunks=1).damaged == ("run.json",)


def test_a_product_that_is_being_made_is_not_withdrawn(product: Product, home: Path) -> None:
    next((product.folder / "product.zarr").rglob("segmentation/c/0/0/0")).unlink()
    found = verify(product.folder, n_chunks=1)
    with claimed(product.folder), pytest.raises(RunError, match="is at work on"):
        withdraw(found)
    (product.folder / "item.json").write_text("{}")
    with pytest.raises(RunError, match="was made anew while it was verified: verify it again"):
        withdraw(found)


def test_marks_that_are_lost_while_a_run_is_at_work_keep_its_item_back(product: Product, home: Path) -> None:
    """As a late job of another run would have it, or somebody who tidies up."""
    scene, model = open_scene(home / "scene.tif"), load_model(home / "random.safetensors")

    def lose(progress: Progress) -> None:
        if progress.chunks_done == 6:
            for chunk in Ledger(product.folder).done():
                Ledger(product.folder).unmark(chunk)

    with pytest.raises(
        RunError, match=r"chunks of .* have lost their marks: something else worked on it too"
    ):
        write(scene, model, home / "out", SETTINGS, overwrite=True, on_progress=lose)
    assert not (product.folder / "item.json").exists()
    resumed(home)
    found = verify(product.folder, n_chunks=100)
    assert found.torn == found.damaged == found.differing == ()


def test_a_product_whose_store_was_removed_is_made_anew(product: Product, home: Path) -> None:
    before = {path: path.read_bytes() for path in sorted(product.folder.rglob("c/*/*/*"))}
    shutil.rmtree(product.folder / "product.zarr")
    scene, model = open_scene(home / "scene.tif"), load_model(home / "random.safetensors")
    write(
        scene,
        model,
        home / "out",
        SETTINGS,
        overwrite=True,
    )
    assert {path: path.read_bytes() for path in sorted(product.folder.rglob("c/*/*/*"))} == before


def test_a_retry_keeps_what_the_attempt_before_it_has_begun_to_overwrite(
    product: Product, home: Path
) -> None:
    scene, model = open_scene(home / "scene.tif"), load_model(home / "random.safetensors")

    def stop(progress: Progress) -> None:
        if progress.chunks_done == 6:
            raise RunError("stopped")

    with pytest.raises(RunError, match="stopped"):
        write(scene, model, home / "out", SETTINGS, overwrite=True, on_progress=stop)
    again = write(scene, model, home / "out", SETTINGS, overwrite=True, resume=True)
    assert again.windows_run < product.windows_run
    once_more = write(scene, model, home / "out", SETTINGS, overwrite=True, resume=True)
    assert once_more.windows_run == product.windows_run


def test_a_torn_record_of_a_finished_product_is_written_again(product: Product, home: Path) -> None:
    (product.folder / "run.json").write_text('{"half": ')
    assert resumed(home).windows_run == 0
    found = verify(product.folder, n_chunks=1)
    assert found.torn == found.damaged == found.differing == ()


def test_a_torn_shard_of_an_unfinished_run_is_mended_when_it_is_taken_up(
    product: Product, home: Path
) -> None:
    shards = sorted((product.folder / "product.zarr").rglob("c/*/*/*"))
    before = {path: path.read_bytes() for path in shards}
    (product.folder / "item.json").unlink()
    tear(shards[5])
    resumed(home)
    assert {path: path.read_bytes() for path in shards} == before


def test_an_input_that_is_replaced_while_it_is_read_leaves_no_product(tmp_path: Path) -> None:
    path = fakes.ragged_tiff(tmp_path / "scene.tif", *SIZE)
    scene, model = open_scene(path), fakes.random_urec(high=2047)

    def put_another(progress: Progress) -> None:
        if progress.chunks_done == 3:
            fakes.write_tiff(path, np.full((3, *SIZE), 7, np.uint16), nodata=0)

    with pytest.raises(RunError, match=r"scene\.tif changed while it was read: start again with --overwrite"):
        write(
            scene,
            model,
            tmp_path / "out",
            SETTINGS,
            on_progress=put_another,
        )
    assert not list((tmp_path / "out").rglob("item.json"))
