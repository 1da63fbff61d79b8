"""`rsmtl doctor`; what it finds of clusters with faults is tested in `tests/doctor`."""

from pathlib import Path

import pytest
import torch

from tests.cli.conftest import Call


def test_an_environment_in_which_nothing_has_to_be_mended(
    call: Call, scene: Path, model: Path, tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    ended = call("doctor", scene, "--model", model, "--out", tmp_path / "products")
    assert ended.status == 0
    assert ended.out.endswith("\nnothing to mend\n")
    shown = " ".join(ended.out.split())
    assert all(
        word in shown for word in ("versions here: Python", "GDAL here:", "can be opened", "read back")
    )
    assert sorted(tmp_path.rglob("*")) == before


def test_a_scheduler_that_does_not_answer_is_found_and_the_rest_is_looked_at(call: Call) -> None:
    ended = call("doctor", "--scheduler", "tcp://127.0.0.1:1", "--json")
    (error,) = ended.json["errors"]
    assert (ended.status, error["subject"]) == (1, "cluster")
    assert error["message"].startswith("here: no Dask scheduler answers at 'tcp://127.0.0.1:1': start one")
    assert {"cluster", "versions", "GDAL", "machine"} <= {one["what"] for one in ended.json["findings"]}
    assert ended.err.rstrip().endswith("1 to mend")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_gpus_that_are_asked_for_and_not_there(call: Call) -> None:
    ended = call("doctor", "--device", "cuda", "--workers", 1, "--json")
    assert ended.status == 1
    assert "need a GPU each, but PyTorch finds 0 here" in ended.json["errors"][0]["message"]
    assert "GPUs" in {error["subject"] for error in ended.json["errors"]}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--workers", 1, "--scheduler", "tcp://a:1"), "give one of them"),
        (("--model", "urec-landscape"), "but none is given: give a SOURCE"),
        (("scene.tif", "--model", "nothing"), "there is no model 'nothing'"),
        (("--out", "nowhere://products"), "cannot be used as an output folder"),
        (("--devise", "cuda"), "No such option"),
    ],
)
def test_asked_wrongly(call: Call, words: tuple[object, ...], said: str) -> None:
    ended = call("doctor", *words)
    assert (ended.status, len(ended.err.splitlines())) == (2, 1)
    assert said in ended.err


def test_each_file_of_an_input_is_looked_at(call: Call, scene: Path) -> None:
    ended = call("doctor", f"pan={scene}", "pan=nowhere.tif", "--json")
    (error,) = ended.json["errors"]
    assert (ended.status, error["subject"]) == (1, "source")
    assert "nowhere.tif' does not exist" in error["message"]


@pytest.mark.cluster
def test_a_cluster_of_its_own(call: Call, scene: Path, tmp_path: Path) -> None:
    ended = call("doctor", scene, "--out", tmp_path / "products", "--workers", 2, "--json")
    findings = ended.json["findings"]
    assert (ended.status, [one for one in findings if one["verdict"] == "mend"]) == (0, [])
    (output,) = (one for one in findings if one["what"] == "output")
    assert len(output["where"]) == 3
    assert "each sees what others write" in output["found"]
