import json
import re
from pathlib import Path

import pytest
import rasterio

from rsmtl.errors import InputError, RunError
from rsmtl.store.provenance import read_run, software, write_run
from tests.store.runs import run_of


def test_a_record_comes_back(tmp_path: Path) -> None:
    run = run_of()
    write_run(tmp_path, run)
    assert read_run(tmp_path) == run
    text = json.loads((tmp_path / "run.json").read_text())
    assert text["windows_run"] == 5
    assert text["sources"][0]["size_bytes"] == 17
    assert text["inputs"]["image"]["alignment"] == "native"


def test_software_names_what_can_change_a_product() -> None:
    found = software()
    assert {"rsmtl", "python", "torch", "numpy", "xarray", "zarr", "dask", "rasterio", "gdal"} <= set(found)
    assert found["gdal"] == rasterio.__gdal_version__
    assert all(re.match(r"\d+\.\d+", version) for version in found.values())


def test_no_record_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no product in .*: it has no run\.json"):
        read_run(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"scene_id": 3}'])
def test_a_damaged_record_is_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(
        InputError, match=r"run\.json is damaged \(.*\): make the product again with --overwrite"
    ):
        read_run(tmp_path)


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"cannot write .*file/run\.json: Not a directory"):
        write_run(tmp_path / "file", run_of())
