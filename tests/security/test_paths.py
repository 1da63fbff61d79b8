"""No name and no link leads a write, or a removal, out of the output folder."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
from pydantic import ValidationError

from rsmtl.config import Settings
from rsmtl.datasets.prepared import begin_store
from rsmtl.engine.product import write
from rsmtl.errors import ResumeError, RsmtlError
from rsmtl.models.spec import HeadSpec, InputSpec
from rsmtl.store.folder import LEASE_NAME, LOCK_NAME, product_folder
from rsmtl.store.item import damaged_files
from tests import fakes

SMALL = Settings(window=32, overlap=8)
NAMES = ["../../x", "..", ".", "/etc/x", "a/b", "a\\b", "a\0b", "", "x.zarr/c", "A", "con:"]


def _write(out: Path, *, overwrite: bool = False) -> Path:
    scene = fakes.make_scene(fakes.numbered(40, 40))
    return Path(str(write(scene, fakes.identity(), out, SMALL, overwrite=overwrite).folder))


def _content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("link", [".", "ledger", "ledger/chunks", "product.zarr", "product.zarr/0"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_nothing_is_written_or_removed_through_a_link_to_a_folder(
    tmp_path: Path, link: str, overwrite: bool
) -> None:
    folder = _write(tmp_path / "out")
    (folder / "item.json").unlink()  # or it would be left alone, as it is finished
    inside, elsewhere = folder / link, tmp_path / "elsewhere"
    if link == "product.zarr/0":
        inside = next(path for path in (folder / "product.zarr").iterdir() if path.is_dir())
    inside.rename(elsewhere)
    inside.symlink_to(elsewhere)
    before = _content(elsewhere)
    assert before
    with pytest.raises(
        ResumeError, match=r"is a symbolic link to .*elsewhere, and nothing is written or removed"
    ):
        _write(tmp_path / "out", overwrite=overwrite)
    assert _content(elsewhere) == before
    assert inside.is_symlink()


@pytest.mark.parametrize(
    "name", ["item.json", "run.json", "quicklook.png", "value.tif", "ledger/fingerprint.json"]
)
def test_a_link_to_a_file_is_replaced_not_followed(tmp_path: Path, name: str) -> None:
    folder = _write(tmp_path / "out")
    if name == "value.tif":
        name = next(folder.glob("*.tif")).name
    victim = tmp_path / "victim"
    victim.write_bytes((folder / name).read_bytes())
    before = victim.read_bytes()
    (folder / name).unlink()
    (folder / name).symlink_to(victim)
    _write(tmp_path / "out", overwrite=True)
    assert victim.read_bytes() == before
    assert not (folder / name).is_symlink()


@pytest.mark.parametrize("name", [LOCK_NAME, LEASE_NAME])
def test_what_claims_a_folder_is_not_written_through_a_link(tmp_path: Path, name: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = product_folder(tmp_path / "out", "scene")
    assert isinstance(folder, Path)
    folder.mkdir(parents=True)
    (folder / name).symlink_to(victim)
    with suppress(RsmtlError):
        _write(tmp_path / "out")
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_cannot_name_files_elsewhere(name: str) -> None:
    for kind in (
        lambda: HeadSpec(name=name, channels=1, kind="continuous", like="image"),
        lambda: InputSpec(name=name, channels=1),
    ):
        with pytest.raises(ValidationError, match="String should"):
            kind()


@pytest.mark.parametrize("scene_id", ["../../x", "..", ".", "/etc/x", "a/b", "a\0b", "~/x", "x/../../y"])
def test_a_catalogue_cannot_name_folders_elsewhere(tmp_path: Path, scene_id: str) -> None:
    folder = product_folder(tmp_path, scene_id)
    assert isinstance(folder, Path)
    assert folder.parent == tmp_path
    assert folder.resolve().parent == tmp_path.resolve()


def test_an_item_cannot_have_files_elsewhere_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("precious")
    folder = tmp_path / "product"
    folder.mkdir()
    hrefs = ("./../secret", "./gone")
    told = {"assets": {href: {"href": href, "file:checksum": "1220"} for href in hrefs}}
    (folder / "item.json").write_text(json.dumps(told))
    assert damaged_files(folder) == ("gone",)


def test_a_data_set_is_prepared_where_it_was_asked_for(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("precious")
    for name in ("data.zarr", ".data.zarr.part"):
        link = tmp_path / name
        link.symlink_to(victim)
        with pytest.raises(RsmtlError):
            begin_store(tmp_path / "data.zarr")
        assert (victim / "file").read_text() == "precious"
        link.unlink()
