import contextlib
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsmtl.errors import RunError, SceneError
from rsmtl.store.folder import product_folder, remove_product
from rsmtl.store.place import disk_errors, replacing, sweep, temporary

OUT = Path("/out")


@pytest.mark.parametrize(
    ("scene_id", "name"),
    [
        ("S2B_29RKH_20250101_0_L2A", "S2B_29RKH_20250101_0_L2A"),
        ("LC08.L1TP-198029", "LC08.L1TP-198029"),
        ("../../etc/passwd", "=2E.=2F..=2Fetc=2Fpasswd"),
        ("/etc", "=2Fetc"),
        ("..", "=2E=2E"),
        (".", "=2E"),
        (".hidden", "=2Ehidden"),
        ("trailing.", "trailing=2E"),
        ("a\\b", "a=5Cb"),
        ("a\0b\n", "a=00b=0A"),
        ("C:x", "C=3Ax"),
        ("NUL", "=4EUL"),
        ("com1.tif", "=63om1.tif"),
        ("console", "console"),
        ("a=2Fb", "a=3D2Fb"),
        ("~root", "=7Eroot"),
        ("café", "caf=C3=A9"),
        ("cafe\u0301", "cafe=CC=81"),
        ("collection.json", "=63ollection.json"),
        ("Report.HTML", "=52eport.HTML"),
        ("catalog.json\u200b", "catalog.json=E2=80=8B"),
        ("collection.json.", "collection.json=2E"),
        ("scene.json.tif", "scene.json.tif"),
    ],
)
def test_an_id_becomes_one_harmless_name(scene_id: str, name: str) -> None:
    assert product_folder(OUT, scene_id) == OUT / name


@given(st.text(st.characters(), min_size=1, max_size=60))
def test_a_product_is_a_child_of_the_output_folder_and_its_id_can_be_told(scene_id: str) -> None:
    folder = product_folder(OUT, scene_id) if len(scene_id.encode("utf-8", "surrogatepass")) < 66 else None
    if folder is None:
        return
    assert Path(os.path.normpath(folder)).parent == OUT
    assert folder.name.isascii()
    assert folder.name.isprintable()
    pieces = folder.name.encode().split(b"=")
    told = pieces[0] + b"".join(bytes.fromhex(p[:2].decode()) + p[2:] for p in pieces[1:])
    assert told.decode("utf-8", "surrogatepass") == scene_id


def test_an_empty_or_endless_id_is_refused() -> None:
    with pytest.raises(
        SceneError, match="a scene needs an id to name its product's folder, got an empty one"
    ):
        product_folder(OUT, "")
    with pytest.raises(
        SceneError, match="makes a folder name of 201 bytes, at most 200 fit: give the scene a sh"
    ):
        product_folder(OUT, "a" * 201)
    assert product_folder(OUT, "a" * 200).name == "a" * 200


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.json"
    with replacing(path) as part:
        part.write_text("first")
        assert not path.exists()
    with contextlib.suppress(KeyError), replacing(path) as part:
        part.write_text("second, broken off")
        raise KeyError
    assert path.read_text() == "first"
    assert list(path.parent.iterdir()) == [path]


def test_what_killed_processes_leave_is_swept(tmp_path: Path) -> None:
    kept = tmp_path / ".gitkeep"
    kept.touch()
    context = temporary(tmp_path / "segmentation.tif")
    part = context.__enter__()
    part.mkdir()
    (part / "inside").touch()
    part.with_name(part.name + ".ovr.tmp").touch()  # as GDAL names what it puts beside
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [kept]


def test_an_operating_system_error_becomes_a_sentence(tmp_path: Path) -> None:
    with (
        pytest.raises(
            RunError, match=rf"cannot write {tmp_path}/x: Permission denied; make room or give another"
        ),
        disk_errors(tmp_path / "x"),
    ):
        raise PermissionError(errno.EACCES, "Permission denied")
    (tmp_path / "file").touch()
    with (
        pytest.raises(RunError, match=r"cannot write .*/file/inside: Not a directory"),
        replacing(tmp_path / "file" / "inside"),
    ):
        pass


def test_a_full_device_becomes_a_sentence() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full, which this system does not have")
    with (
        pytest.raises(
            RunError, match="cannot write /dev/full: No space left on device; make room or give anot"
        ),
        disk_errors(full),
    ):
        full.write_text("x")


def test_a_file_size_limit_becomes_a_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    """The limit ends the file in the middle of a write, as a full disk does; in a process of its own."""
    code = (
        "import resource, signal, sys; from pathlib import Path; from rsmtl.store.place import replacing\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "with replacing(Path(sys.argv[1])) as part: part.write_bytes(bytes(10_000))"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(tmp_path / "f")], capture_output=True, text=True)
    assert "rsmtl.errors.RunError: cannot write" in ran.stderr
    assert "File too large" in ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_removing_a_product_leaves_the_files_of_others(tmp_path: Path) -> None:
    for name in ("item.json", "run.json", "quicklook.png", "segmentation.tif", "B02.tif", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "product.zarr" / "10m" / "segmentation").mkdir(parents=True)
    (tmp_path / "product.zarr" / "10m" / "segmentation" / "zarr.json").touch()
    (tmp_path / "ledger" / "chunks").mkdir(parents=True)
    remove_product(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["B02.tif", "notes.txt"]
