import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rsmtl.errors import ResumeError, RunError
from rsmtl.store.ledger import ChunkRecord, Ledger, Span, fingerprint_digest

FINGERPRINT = {
    "model": {"name": "urec-landscape", "sha256": "a" * 64},
    "settings": {"window": 512, "overlap": 64, "extras": ()},
    "inputs": [{"href": "pan.tif", "size_bytes": 17}],
}
RECORD = ChunkRecord(
    run=fingerprint_digest(FINGERPRINT),
    windows_run=9,
    windows_skipped=3,
    spans=(Span("host:1", 1.5e9, {"read": 0.5, "model": 2.25}), Span("host:2", 1.5e9, {"finish": 0.25})),
    sha256={"segmentation": "0" * 64},
)


def sums(seed: int = 0, width: int = 96) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "segmentation/T-L": rng.integers(-(2**30), 2**30, (6, 32, width), dtype=np.int32),
        "segmentation/valid": rng.random((32, width)) > 0.5,
        "hrms/B": rng.integers(-(2**62), 2**62, (4, 32, width), dtype=np.int64),
        "empty": np.zeros((0, 5), np.float32),
    }


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path / "scene")
    made.open(FINGERPRINT)
    return made


def test_a_new_run_begins_empty(ledger: Ledger) -> None:
    assert ledger.done() == {}
    assert ledger.fingerprint() == {**FINGERPRINT, "settings": {"window": 512, "overlap": 64, "extras": []}}


def test_the_digest_depends_on_values_not_on_order() -> None:
    turned = dict(reversed(FINGERPRINT.items()))
    assert fingerprint_digest(turned) == fingerprint_digest(FINGERPRINT)
    assert len(fingerprint_digest(FINGERPRINT)) == 64
    assert fingerprint_digest({**FINGERPRINT, "seed": 1}) != fingerprint_digest(FINGERPRINT)


def test_the_same_run_is_taken_up_only_if_asked(ledger: Ledger) -> None:
    (ledger.folder / "product.zarr").mkdir()
    ledger.mark_done((0, 3), RECORD)
    with pytest.raises(ResumeError) as refused:
        Ledger(ledger.folder).open(FINGERPRINT)
    assert str(refused.value) == (
        f"{ledger.folder} holds an unfinished run; add --resume to finish it or --overwrite to start anew"
    )
    again = Ledger(ledger.folder)
    again.open(FINGERPRINT, resume=True)
    assert again.done() == {(0, 3): RECORD}


def test_marks_without_a_store_are_forgotten(ledger: Ledger) -> None:
    ledger.mark_done((0, 3), RECORD)
    ledger.open(FINGERPRINT, resume=True)
    assert ledger.done() == {}


def test_a_late_job_learns_that_another_run_has_taken_over(ledger: Ledger) -> None:
    Ledger(ledger.folder, fingerprint_digest(FINGERPRINT)).check_current()
    with pytest.raises(RunError, match="another run has taken over"):
        Ledger(ledger.folder, "other").check_current()


def test_a_finished_product_is_called_so(ledger: Ledger) -> None:
    (ledger.folder / "item.json").write_text("{}")
    with pytest.raises(ResumeError, match="scene holds a finished product; add --overwrite to make it anew"):
        ledger.open(FINGERPRINT)
    ledger.open(FINGERPRINT, resume=True)


def test_overwriting_begins_anew(ledger: Ledger) -> None:
    ledger.mark_done((0, 3), RECORD)
    (ledger.folder / "item.json").write_text("{}")
    (ledger.folder / "product.zarr").mkdir()
    ledger.open({**FINGERPRINT, "seed": 1}, overwrite=True)
    assert ledger.done() == {}
    assert [p.name for p in ledger.folder.iterdir()] == ["ledger"]
    fingerprint = ledger.fingerprint()
    assert fingerprint is not None
    assert fingerprint["seed"] == 1


@pytest.mark.parametrize("resume", [True, False])
def test_another_run_is_refused_with_every_difference(ledger: Ledger, resume: bool) -> None:
    other = {
        "model": {"name": "urec-landscape", "sha256": "b" * 64},
        "settings": {"window": 256, "overlap": 64},
        "inputs": [{"href": "pan.tif", "size_bytes": 17}],
    }
    with pytest.raises(ResumeError) as refused:
        ledger.open(other, resume=resume)
    assert str(refused.value) == (
        f'{ledger.folder} holds another run: model.sha256 was "{"a" * 59}… and is "{"b" * 59}…; '
        "settings.window was 512 and is 256; settings.extras was [] and is absent; run with what it was "
        "begun with, give another output folder, or add --overwrite to start anew"
    )


def test_numbers_that_are_not_numbers_compare(tmp_path: Path) -> None:
    Ledger(tmp_path / "s").open({"nodata": float("nan")})
    Ledger(tmp_path / "s").open({"nodata": float("nan")}, resume=True)


@pytest.mark.parametrize("overwrite", [True, False])
def test_files_of_others_are_neither_mixed_with_nor_removed(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "B02.tif").touch()
    with pytest.raises(ResumeError, match=r"holds files that no run of rsmtl made, such as 'B02.tif'; give"):
        Ledger(tmp_path).open(FINGERPRINT, overwrite=overwrite)
    assert [p.name for p in tmp_path.iterdir()] == ["B02.tif"]


def test_a_damaged_fingerprint_is_resumed_only_if_all_marks_are_of_the_run(ledger: Ledger) -> None:
    fingerprint = ledger.folder / "ledger" / "fingerprint.json"
    (ledger.folder / "product.zarr").mkdir()
    ledger.mark_done((0, 0), RECORD)
    fingerprint.write_text('{"model"')
    ledger.open(FINGERPRINT, resume=True)
    assert set(ledger.done()) == {(0, 0)}
    fingerprint.write_text('{"model"')
    for asked, resume in (({**FINGERPRINT, "seed": 1}, True), (FINGERPRINT, False)):
        with pytest.raises(
            ResumeError, match="whose fingerprint is damaged, so that nothing can be said of it; add"
        ):
            ledger.open(asked, resume=resume)
    ledger.open(FINGERPRINT, overwrite=True)
    assert ledger.done() == {}


def test_marks_of_another_run_do_not_count(ledger: Ledger) -> None:
    ledger.mark_done((0, 0), RECORD)
    assert set(Ledger(ledger.folder, RECORD.run).done()) == {(0, 0)}
    assert Ledger(ledger.folder, "other").done() == {}
    assert not Ledger(ledger.folder, "other").is_done((0, 0))


def test_marks_without_a_fingerprint_belong_to_nobody(ledger: Ledger) -> None:
    ledger.mark_done((0, 0), RECORD)
    (ledger.folder / "ledger" / "fingerprint.json").unlink()
    ledger.open(FINGERPRINT)
    assert ledger.done() == {}


@pytest.mark.parametrize("garbage", [b"", b"{", b"[]", b'{"windows_run": 1}', b"\xff\xfe", b"null"])
def test_a_damaged_mark_counts_as_absent(ledger: Ledger, garbage: bytes) -> None:
    ledger.mark_done((0, 0), RECORD)
    ledger.mark_done((12, 345), RECORD)
    (ledger.folder / "ledger" / "chunks" / "0-0.json").write_bytes(garbage)
    assert ledger.done() == {(12, 345): RECORD}


def test_files_that_are_no_marks_are_passed_over(ledger: Ledger) -> None:
    for name in ("a-b.json", "1-2-3.json", ".0-0.json.abc.part", "-1-0.json"):
        (ledger.folder / "ledger" / "chunks" / name).write_text('{"windows_run": 1}')
    assert ledger.done() == {}


def test_sums_come_back_member_by_member(ledger: Ledger) -> None:
    written = sums()
    ledger.write_partial((2, 1), written)
    assert ledger.has_partial((2, 1))
    assert not ledger.has_partial((1, 2))
    for name, array in written.items():
        found = ledger.read_partial((2, 1), [name])
        assert found is not None
        assert list(found) == [name]
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    ledger.write_partial((2, 1), sums(seed=1))
    replaced = ledger.read_partial((2, 1), ["hrms/B"])
    assert replaced is not None
    assert (replaced["hrms/B"] != written["hrms/B"]).any()


def test_sums_hold_no_pickle(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="Object arrays cannot be saved when allow_pickle=False"):
        ledger.write_partial((0, 0), {"x": np.array([{}], dtype=object)})
    path = ledger.folder / "ledger" / "partials" / "0-0.npz"
    assert not path.exists()
    np.savez(path, x=np.array([{}], dtype=object))
    assert ledger.read_partial((0, 0), ["x"]) is None


def test_absent_or_damaged_sums_are_none(ledger: Ledger) -> None:
    ledger.write_partial((0, 0), sums())
    path = ledger.folder / "ledger" / "partials" / "0-0.npz"
    whole = path.read_bytes()
    assert ledger.read_partial((0, 1), ["hrms/B"]) is None
    assert ledger.read_partial((0, 0), ["sr/B"]) is None
    for damaged in (b"", b"garbage", whole[:-30], whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        assert not ledger.has_partial((0, 0))
        assert ledger.read_partial((0, 0), ["hrms/B"]) is None
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hrms/B.npy", b"no array")
    assert ledger.read_partial((0, 0), ["hrms/B"]) is None


def test_a_flipped_bit_in_a_sum_is_found(ledger: Ledger) -> None:
    ledger.write_partial((0, 0), sums())
    path = ledger.folder / "ledger" / "partials" / "0-0.npz"
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 4
    path.write_bytes(whole)
    assert any(ledger.read_partial((0, 0), [name]) is None for name in sums())


def test_sums_are_dropped_and_all_go_at_the_end(ledger: Ledger) -> None:
    ledger.write_partial((0, 0), sums())
    ledger.write_partial((0, 1), sums())
    ledger.mark_done((0, 0), RECORD)
    ledger.drop_partial((0, 0))
    ledger.drop_partial((0, 0))
    assert not ledger.has_partial((0, 0))
    assert ledger.has_partial((0, 1))
    ledger.close()
    ledger.close()
    assert not ledger.has_partial((0, 1))
    assert ledger.done() == {(0, 0): RECORD}


def test_a_process_killed_while_it_writes_leaves_a_readable_ledger(ledger: Ledger) -> None:
    code = (
        "import sys; from pathlib import Path; from itertools import count; import numpy as np\n"
        "from rsmtl.store.ledger import Ledger; from tests.store.test_ledger import RECORD, sums\n"
        "ledger = Ledger(Path(sys.argv[1]))\n"
        "for k in count():\n"
        "    ledger.write_partial((0, k % 3), sums(width=4096)); ledger.mark_done((0, k), RECORD)\n"
        "    print(k, flush=True)"
    )
    for _ in range(3):
        process: Any
        with subprocess.Popen(
            [sys.executable, "-c", code, str(ledger.folder)], stdout=subprocess.PIPE
        ) as process:
            for _ in range(5):
                process.stdout.readline()
            process.kill()
        marks = list((ledger.folder / "ledger" / "chunks").glob("*.json"))
        assert len(ledger.done()) == len(marks) >= 5
        for k in range(3):
            assert ledger.read_partial((0, k), list(sums())) is not None
    ledger.open(FINGERPRINT, resume=True)
    leftover = [p for p in ledger.folder.rglob("*") if ".part" in p.suffixes]
    assert leftover == []


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"cannot write .*/file/scene: Not a directory"):
        Ledger(tmp_path / "file" / "scene").open(FINGERPRINT)


def test_a_full_disk_is_a_sentence_and_leaves_what_stood(small_disk: Path) -> None:
    ledger = Ledger(small_disk)
    ledger.open(FINGERPRINT)
    ledger.write_partial((0, 0), sums(width=1024))
    with pytest.raises(
        RunError, match=r"cannot write .*/0-1\.npz: No space left on device; make room or give"
    ):
        ledger.write_partial((0, 1), sums(width=4096))
    assert ledger.read_partial((0, 0), list(sums())) is not None
    assert not ledger.has_partial((0, 1))
    ledger.mark_done((0, 0), RECORD)
    assert len(list((small_disk / "ledger" / "partials").iterdir())) == 1
