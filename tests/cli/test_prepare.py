"""`rsmtl prepare`: a data set in, a store out, and what is wrong with the rest."""

from pathlib import Path

from tests.cli.conftest import Call
from tests.datasets.dubai_fake import write_fake_dubai


def test_a_store_and_its_splits(call: Call, tmp_path: Path) -> None:
    write_fake_dubai(tmp_path / "raw")
    ended = call("prepare", "dubai", tmp_path / "raw", tmp_path / "data", "--json")
    assert ended.status == 0
    assert ended.json["scenes"] == {"train": 5, "validation": 1, "test": 2}
    assert (tmp_path / "data" / "dubai.zarr" / "zarr.json").exists()


def test_scenes_that_are_missing_are_named(call: Call, tmp_path: Path) -> None:
    write_fake_dubai(tmp_path / "raw")
    (tmp_path / "raw" / "tile5" / "image_part_001.png").unlink()
    ended = call("prepare", "dubai", tmp_path / "raw", tmp_path / "data")
    assert ended.status == 1
    assert "tile5/image_part_001: cannot read" in ended.err
    assert "7 scenes" in ended.out


def test_the_options_of_a_configuration(call: Call, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        "system: unet\ndata: {name: landscape, n_train: 1, n_validation: 1, n_test: 1, size_px: 64}\n"
        "epochs: 1\nbatch: 1\noptimizer: {lr: 0.1}\n"
    )
    ended = call("prepare", tmp_path / "own.yaml", tmp_path, tmp_path / "data", "--json")
    assert ended.json["scenes"] == {"train": 1, "validation": 1, "test": 1}


def test_no_such_data_set(call: Call, tmp_path: Path) -> None:
    ended = call("prepare", "atlantis", tmp_path, tmp_path / "data")
    assert ended.status == 2
    assert "there is no data set 'atlantis' that needs no options" in ended.err
    assert len(ended.err.splitlines()) == 1


def test_a_folder_of_something_else(call: Call, tmp_path: Path) -> None:
    ended = call("prepare", "vaihingen", tmp_path, tmp_path / "data")
    assert ended.status == 2
    assert "there are no images in" in ended.err
    assert not (tmp_path / "data").exists()
