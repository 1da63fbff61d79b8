"""Exported programs: they run as the module they came from, and none can run code when it is opened."""

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from rsmtl.config import Settings
from rsmtl.dispatch import local_cluster, threads
from rsmtl.engine.lazy import predict
from rsmtl.engine.product import write
from rsmtl.engine.verify import verify
from rsmtl.errors import ModelError
from rsmtl.models import load_model, save_exported
from rsmtl.scene.open import open_scene
from rsmtl.store.zarr import open_product
from tests import fakes

SETTINGS = Settings(window=64, overlap=16, batch=2)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("exported") / "urec.pt2"
    model = fakes.random_urec(high=2047.0)
    save_exported(made, model.module, model.spec, window=64, batch=2)
    return made


def test_a_program_gives_the_bits_of_its_module(path: Path) -> None:
    scene, eager, program = (
        fakes.make_scene(fakes.textured((3, 150, 130)) * 2047),
        fakes.random_urec(high=2047.0),
        load_model(path),
    )
    assert program.spec == eager.spec
    ours, theirs = (predict(scene, model, SETTINGS).compute() for model in (program, eager))
    for head in ours.data_vars:
        np.testing.assert_array_equal(ours[head], theirs[head])


def test_it_runs_in_threads_and_processes_and_verifies(path: Path, tmp_path: Path) -> None:
    scene = open_scene(fakes.ragged_tiff(tmp_path / "scene.tif", 200, 230))
    found = []
    with threads(2) as two, local_cluster(2) as processes:
        for k, executor in enumerate((None, two, processes)):
            product = write(scene, load_model(path), tmp_path / str(k), SETTINGS, executor=executor)
            (group,) = open_product(product.folder).values()
            found.append({name: array.values.tobytes() for name, array in group.data_vars.items()})
    assert found[0] == found[1] == found[2]
    assert verify(product.folder, 2).differing == ()
    item = json.loads((product.folder / "item.json").read_text())
    assert item["assets"]["model"]["mlm:artifact_type"] == "torch.export.save"


def test_another_window_says_which_one_it_takes(path: Path) -> None:
    scene = fakes.make_scene(fakes.textured((3, 150, 130)) * 2047)
    with pytest.raises(
        ModelError,
        match=r"exported for 2 window\(s\) of 64 px at a time, got 1 .*: run it with `--window 64 --bat",
    ):
        predict(scene, load_model(path), Settings(window=128, overlap=16)).compute(scheduler="synchronous")


def rewritten(path: Path, into: Path, change: Callable[[str, bytes], bytes | None], **more: bytes) -> Path:
    """Write an archive again, each entry as `change` gives it, without those it drops, and with more."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(into, "w") as new:
        for name in old.namelist():
            data = change(name, old.read(name))
            if data is not None:
                new.writestr(name, data)
        root = old.namelist()[0].split("/")[0]
        for name, data in more.items():
            new.writestr(f"{root}/{name}", data)
    return into


class Evil:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return open, (str(self.trace), "w")


def in_graph(change: Callable[[dict], None]) -> Callable[[str, bytes], bytes]:
    def rewrite(name: str, data: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return data
        program = json.loads(data)
        change(program)
        return json.dumps(program).encode()

    return rewrite


def evil_weights(name: str, data: bytes) -> bytes:
    return (
        data.replace(b'"use_pickle": false', b'"use_pickle": true', 1)
        if name.endswith("weights_config.json")
        else data
    )


def system_call(program: dict) -> None:
    program["graph_module"]["graph"]["nodes"][0]["target"] = "torch.os.system"


def guard(program: dict) -> None:
    program["guards_code"] = ["__import__('os').system('true')"]


def expression(program: dict) -> None:
    program["range_constraints"] = {"s0": {"min_val": 1, "max_val": 2}}


def named(program: dict) -> None:
    program["graph_module"]["graph"]["nodes"][0]["name"] = "x): pass\nimport os #"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (evil_weights, "as a pickle"),
        (in_graph(system_call), "an operator 'torch.os.system'"),
        (in_graph(guard), "guards or sizes that change"),
        (in_graph(expression), "guards or sizes that change"),
    ],
)
def test_what_could_run_code_is_refused_before_it_is_opened(
    change, what: str, path: Path, tmp_path: Path
) -> None:
    evil = rewritten(path, tmp_path / "evil.pt2", change)
    with pytest.raises(
        ModelError, match=f"{what}, which could run any code when opened: it was not opened; write"
    ):
        load_model(evil)


def test_a_pickle_among_the_sample_inputs_is_not_opened(path: Path, tmp_path: Path) -> None:
    trace, buffer = tmp_path / "trace", io.BytesIO()
    torch.save(Evil(trace), buffer)
    evil = rewritten(
        path,
        tmp_path / "evil.pt2",
        lambda name, data: buffer.getvalue() if name.endswith("model.pt") else data,
    )
    with pytest.raises(ModelError, match="is no exported program, or it is damaged or cut short"):
        load_model(evil)
    assert not trace.exists()


def test_an_entry_that_does_not_belong_is_refused(path: Path, tmp_path: Path) -> None:
    data = pickle.dumps(Evil(tmp_path / "trace"))
    evil = rewritten(
        path, tmp_path / "evil.pt2", lambda _, data: data, **{"data/constants/opaque_obj_0": data}
    )
    with pytest.raises(ModelError, match=r"holds an entry '.*opaque_obj_0', which could run any code"):
        load_model(evil)
    assert not (tmp_path / "trace").exists()


def test_a_file_without_a_card_says_how_to_write_one(path: Path, tmp_path: Path) -> None:
    bare = rewritten(path, tmp_path / "bare.pt2", lambda name, data: None if "rsmtl.json" in name else data)
    with pytest.raises(ModelError, match=r"has no card .*: write it with rsmtl.models.save_exported"):
        load_model(bare)


@pytest.mark.parametrize("size", [0, 10, 1000, -30])
def test_a_damaged_file_is_a_sentence(size: int, path: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.pt2"
    damaged.write_bytes(path.read_bytes()[:size])
    with pytest.raises(
        ModelError, match=r"damaged or cut short|was not opened"
    ):  # its last entry is an archive, too
        load_model(damaged)


class Deciding(torch.nn.Module):
    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"same": image if image.sum() > 0 else -image}


def test_a_module_that_cannot_be_followed_is_a_sentence(tmp_path: Path) -> None:
    model = fakes.identity()
    with pytest.raises(ModelError, match=r"torch.export cannot follow the module of 'fake'"):
        save_exported(tmp_path / "no.pt2", Deciding(), model.spec, window=16)
    assert not (tmp_path / "no.pt2").exists()
