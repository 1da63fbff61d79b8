"""A prepared data set gives the patches of the files that it was made from."""

import json
import pickle
from pathlib import Path

import pytest
import torch
import zarr

from rsmtl.datasets import (
    DstlData,
    DubaiData,
    LandscapeData,
    Patches,
    Sampling,
    Splits,
    load_splits,
    open_splits,
)
from rsmtl.datasets.prepared import INNER_PX, open_prepared
from rsmtl.dispatch import ClusterExecutor, threads
from rsmtl.errors import InputError
from rsmtl.prepare import prepare
from tests.datasets.dstl_fake import write_fake_dstl
from tests.datasets.dubai_fake import write_fake_dubai


def same_patches(one: Splits, other: Splits, sampling: Sampling) -> None:
    for a, b in ((one.train, other.train), (one.validation, other.validation)):
        first, second = (Patches(scenes, sampling, 0, 0) for scenes in (a, b))
        assert len(first) == len(second)
        for i in range(len(first)):
            assert str(first.place(i)) == str(second.place(i))
            patch, again = first[i], second[i]
            assert patch.keys() == again.keys()
            assert all(torch.equal(patch[name], again[name]) for name in patch)


@pytest.mark.parametrize("which", ["dubai", "dstl", "landscape"])
def test_patches_are_those_of_the_files(tmp_path: Path, which: str) -> None:
    if which == "dubai":
        data = DubaiData()
        write_fake_dubai(tmp_path / "raw")
    elif which == "dstl":
        data = DstlData()
        write_fake_dstl(tmp_path / "raw")
    else:
        data = LandscapeData(n_train=2, n_validation=1, n_test=1, size_px=64)
    made = prepare(data, tmp_path / "raw", tmp_path / "data" / f"{which}.zarr")
    assert made.missing == {}
    direct = open_splits(data.about(), data.sources(tmp_path / "raw"))
    stored = load_splits(data, tmp_path / "data")
    assert stored.about == direct.about
    same_patches(direct, stored, Sampling(patch_px=32, patches_per_epoch=12))


def test_on_threads_and_processes_it_is_the_same(workers: ClusterExecutor, tmp_path: Path) -> None:
    write_fake_dubai(tmp_path / "raw")
    reported: list[tuple[int, int]] = []
    with threads(2) as executor:
        prepare(
            DubaiData(), tmp_path / "raw", tmp_path / "a.zarr", executor, report=lambda *n: reported.append(n)
        )
    prepare(DubaiData(), tmp_path / "raw", tmp_path / "b.zarr", workers)
    assert reported == [(i, 8) for i in range(1, 9)]
    first, second = (
        {p.relative_to(store): p.read_bytes() for p in store.rglob("*") if p.is_file()}
        for store in (tmp_path / "a.zarr", tmp_path / "b.zarr")
    )
    assert first == second


def test_layout_of_the_store(tmp_path: Path) -> None:
    data = LandscapeData(n_train=1, n_validation=1, n_test=1, size_px=512)
    prepare(data, tmp_path, tmp_path / "landscape.zarr")
    array = zarr.open_array(tmp_path / "landscape.zarr" / "0000" / "image", mode="r")
    assert (array.chunks, array.shards) == ((3, INNER_PX, INNER_PX), (3, 512, 512))
    assert (
        len(list((tmp_path / "landscape.zarr" / "0000" / "image" / "c").rglob("*"))) == 3
    )  # one file, two folders


def test_a_prepared_layer_travels_as_its_path(tmp_path: Path) -> None:
    prepare(
        LandscapeData(n_train=1, n_validation=1, n_test=1, size_px=64), tmp_path, tmp_path / "landscape.zarr"
    )
    scene = load_splits(LandscapeData(n_train=1, n_validation=1, n_test=1, size_px=64), tmp_path).train[0]
    assert len(pickle.dumps(scene.layers)) < 2000


def test_missing_and_broken_scenes_are_reported_and_left_out(tmp_path: Path) -> None:
    write_fake_dubai(tmp_path / "raw", images_per_tile=2)
    (tmp_path / "raw" / "tile3" / "image_part_001.png").unlink()
    (tmp_path / "raw" / "tile7" / "image_part_002.jpg").write_bytes(b"no picture")
    made = prepare(DubaiData(), tmp_path / "raw", tmp_path / "dubai.zarr")
    assert set(made.missing) == {"tile3/image_part_001", "tile7/image_part_002"}
    assert "image_part_001.png as an RGB or palette image" in made.missing["tile3/image_part_001"]
    splits = load_splits(DubaiData(), tmp_path)
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [9, 2, 3]


def test_nothing_can_be_read(tmp_path: Path) -> None:
    write_fake_dubai(tmp_path / "raw")
    for path in (tmp_path / "raw").rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match=r"no scene of dubai in .*raw can be read: cannot read .*tile1"):
        prepare(DubaiData(), tmp_path / "raw", tmp_path / "dubai.zarr")
    assert not (tmp_path / "dubai.zarr").exists()


def test_what_stands_is_kept(tmp_path: Path) -> None:
    data = LandscapeData(n_train=1, n_validation=1, n_test=1, size_px=64)
    store = tmp_path / "landscape.zarr"
    prepare(data, tmp_path, store)
    with pytest.raises(InputError, match=r"was prepared before: use it, or replace it with --overwrite"):
        prepare(data, tmp_path, store)
    prepare(data, tmp_path, store, overwrite=True)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_bytes(b"dear")
    with pytest.raises(
        InputError, match=r"photos is no data set that rsmtl prepared: give a folder that it may"
    ):
        prepare(data, tmp_path, tmp_path / "photos", overwrite=True)
    assert (tmp_path / "photos" / "holiday.jpg").read_bytes() == b"dear"


def test_a_preparation_that_fails_leaves_what_stood(tmp_path: Path) -> None:
    write_fake_dubai(tmp_path / "raw")
    prepare(DubaiData(), tmp_path / "raw", tmp_path / "dubai.zarr")
    for path in (tmp_path / "raw").rglob("*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match="no scene of dubai"):
        prepare(DubaiData(), tmp_path / "raw", tmp_path / "dubai.zarr", overwrite=True)
    assert len(load_splits(DubaiData(), tmp_path).train) == 5


def test_a_zarr_store_of_somebody_else_is_kept(tmp_path: Path) -> None:
    data = LandscapeData(n_train=1, n_validation=1, n_test=1, size_px=64)
    zarr.open_group(tmp_path / "landscape.zarr", mode="w").create_array("precious", shape=(4,), dtype="u1")
    for overwrite in (False, True):
        with pytest.raises(
            InputError, match=r"is no data set that rsmtl prepared: give a folder that it may replace"
        ):
            prepare(data, tmp_path, tmp_path / "landscape.zarr", overwrite=overwrite)
    assert "precious" in zarr.open_group(tmp_path / "landscape.zarr", mode="r")


@pytest.mark.parametrize("how", ["missing", "broken"])
def test_shards_that_are_missing_or_broken(tmp_path: Path, how: str) -> None:
    data = LandscapeData(n_train=1, n_validation=1, n_test=1, size_px=64)
    prepare(data, tmp_path, tmp_path / "landscape.zarr")
    for shard in (path for path in (tmp_path / "landscape.zarr" / "0000").rglob("c/**/*") if path.is_file()):
        shard.unlink() if how == "missing" else shard.write_bytes(shard.read_bytes()[:20])
    with pytest.raises(
        InputError, match=r"landscape\.zarr/0000/\w+ is damaged or incomplete \(.*\): prepare the data"
    ):
        load_splits(data, tmp_path).train[0].read(slice(0, 64), slice(0, 64))


def test_names_in_a_header_stay_in_the_store(tmp_path: Path) -> None:
    data = LandscapeData(n_train=1, n_validation=1, n_test=1, size_px=64)
    prepare(data, tmp_path, tmp_path / "landscape.zarr")
    path = tmp_path / "landscape.zarr" / "zarr.json"
    path.write_text(path.read_text().replace('"0000"', '"../../secret.zarr"'))
    with pytest.raises(
        InputError, match=r"is no data set that rsmtl prepared \(scenes\.0\.group: String should match"
    ):
        load_splits(data, tmp_path)


def test_a_preparation_of_other_options(tmp_path: Path) -> None:
    prepare(
        LandscapeData(n_train=1, n_validation=1, n_test=1, size_px=64), tmp_path, tmp_path / "landscape.zarr"
    )
    with pytest.raises(
        InputError, match=r"was prepared as .*'size_px': 64.*, the training wants .*'size_px': 128"
    ):
        load_splits(LandscapeData(n_train=1, n_validation=1, n_test=1, size_px=128), tmp_path)


def test_a_damaged_header(tmp_path: Path) -> None:
    data = LandscapeData(n_train=1, n_validation=1, n_test=1, size_px=64)
    prepare(data, tmp_path, tmp_path / "landscape.zarr")
    path = tmp_path / "landscape.zarr" / "zarr.json"
    values = json.loads(path.read_text())
    values["attributes"]["rsmtl_dataset"]["scenes"] = "all of them"
    path.write_text(json.dumps(values))
    with pytest.raises(
        InputError, match=r"is no data set that rsmtl prepared \(scenes: .*\): prepare it again"
    ):
        open_prepared(tmp_path / "landscape.zarr", data.model_dump(mode="json"))
