import hashlib
import json
import pickle
import threading
from pathlib import Path

import pytest
import safetensors.torch
import torch
from pydantic import ValidationError

from rsmtl.errors import ModelError, RunError
from rsmtl.models import (
    Card,
    ClassSpec,
    HeadSpec,
    Model,
    detach,
    files,
    find_system,
    load_model,
    read_card,
    save_checkpoint,
    shipped_models,
    system_config,
)
from rsmtl.models import checkpoint as under_test
from rsmtl.radiometry import Radiometry

CLASSES = tuple(ClassSpec(name=name, color=(10 * i, 0, 255)) for i, name in enumerate(("a", "b", "c")))


def fresh(seed: int = 0) -> tuple[torch.nn.Module, Card]:
    torch.manual_seed(seed)
    system = find_system("urec")
    config = system_config(system, {"width": 2, "n_classes": 3})
    radiometry = Radiometry(kind="percentile", low=(2,), high=(98,))
    spec = system.make_spec(
        config, bands={"image": ("red", "green", "blue")}, classes=CLASSES, radiometry={"image": radiometry}
    )
    module = system.build(config)
    module.train()(torch.rand(2, 3, 64, 64))
    return module.eval(), Card(config=config.model_dump(), spec=spec, training={"seed": seed})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, *fresh())
    return path


def rewrite(path: Path, **changes: object) -> None:
    """Write the file again with another card."""
    card = json.loads(safetensors.safe_open(path, "pt").metadata()["rsmtl"])
    card.update(changes)
    safetensors.torch.save_file(safetensors.torch.load_file(path), path, {"rsmtl": json.dumps(card)})


def test_round_trip(path: Path):
    module, card = fresh()
    model = load_model(path)
    assert model.spec == card.spec
    assert model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert model.source == str(path)
    assert not model.module.training
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        expected, got = module(image), model.module(image)
    assert all(torch.equal(expected[head], got[head]) for head in expected)
    assert read_card(path) == card


def test_same_weights_same_file(path: Path, tmp_path: Path):
    save_checkpoint(str(tmp_path / "again.safetensors"), *fresh())
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_layout_in_memory_does_not_matter(path: Path, tmp_path: Path):
    module, card = fresh()
    module.to(memory_format=torch.channels_last)
    save_checkpoint(tmp_path / "last.safetensors", module, card)
    assert (tmp_path / "last.safetensors").read_bytes() == path.read_bytes()


def test_half_precision_halves_the_file_and_loads_as_float32(path: Path, tmp_path: Path):
    half = tmp_path / "half.safetensors"
    module, card = fresh()
    save_checkpoint(half, module, card, "fp16")
    assert half.stat().st_size < 0.75 * path.stat().st_size
    loaded = load_model(half).module.state_dict()
    assert {t.dtype for t in loaded.values()} == {torch.float32, torch.int64}
    for name, tensor in module.state_dict().items():
        expected = tensor.half().float() if tensor.ndim > 1 else tensor
        assert torch.equal(loaded[name], expected), name


def test_loading_leaves_the_random_numbers_alone(path: Path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_model(path)
    assert torch.equal(torch.rand(3), expected)


def test_missing_file_lists_the_shipped_models():
    with pytest.raises(
        ModelError, match=r"there is no model 'nowhere\.safetensors': give the path"
    ) as caught:
        load_model("nowhere.safetensors")
    assert all(name in str(caught.value) for name in shipped_models())


@pytest.mark.parametrize("keep", [0, 5, 200, -1])
def test_truncated_file(path: Path, keep: int):
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError, match="is no safetensors file, or it is damaged or cut short"):
        load_model(path)


def test_other_bytes(path: Path):
    path.write_bytes(b"GIF89a" * 100)
    with pytest.raises(ModelError, match="is no safetensors file"):
        load_model(path)


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("zipped", [True, False])
def test_pickle_is_refused_and_not_opened(tmp_path: Path, zipped: bool):
    mark, path = tmp_path / "opened", tmp_path / "model.pt"
    torch.save(Trap(mark), path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        ModelError,
        match=r"pt is a pickle .* it was not opened; .* with rsmtl\.Model\.from_module",
    ):
        load_model(path)
    assert not mark.exists()


def test_foreign_safetensors(tmp_path: Path):
    path = tmp_path / "foreign.safetensors"
    safetensors.torch.save_file({"weight": torch.ones(3)}, path)
    with pytest.raises(ModelError, match="has weights but no card"):
        load_model(path)


def test_newer_format(path: Path):
    rewrite(path, format=99, something_new=1)
    with pytest.raises(
        ModelError, match="has checkpoint format 99, this rsmtl reads up to 1: install a newer"
    ):
        load_model(path)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"config": {"width": 3, "n_classes": 3}},
            r"has shape \(2, 3, 3, 3\), expected \(3, 3, 3, 3\) \(and \d+ more\)",
        ),
        (
            {"config": {"width": 2, "n_classes": 3, "share_decoder": False}},
            "reconstruction_trunk.* is missing",
        ),
        ({"config": {"width": "wide"}}, "the configuration of 'urec' is wrong: width"),
        ({"spec": {}}, r"the card of .* is wrong: spec\.system: is missing"),
        ({"format": "new"}, "the card of .* cannot be read"),
    ],
)
def test_card_that_does_not_fit(path: Path, changes: dict[str, object], sentence: str):
    rewrite(path, **changes)
    with pytest.raises(ModelError, match=sentence):
        load_model(path)


def test_a_card_that_is_nested_without_end(path: Path) -> None:
    nested = "[" * 100_000 + "]" * 100_000
    safetensors.torch.save_file(safetensors.torch.load_file(path), path, {"rsmtl": f'{{"config": {nested}}}'})
    for read in (load_model, read_card):
        with pytest.raises(ModelError, match=r"the card of .* cannot be read"):
            read(path)


def test_unknown_system(path: Path):
    card = json.loads(safetensors.safe_open(path, "pt").metadata()["rsmtl"])
    rewrite(path, spec={**card["spec"], "system": "mtl_pan_seg_2"})
    with pytest.raises(ModelError, match="there is no system 'mtl_pan_seg_2'"):
        load_model(path)


def test_weights_that_are_not_finite(path: Path, tmp_path: Path):
    weights = safetensors.torch.load_file(path)
    weights["encoder.levels.0.0.0.weight"][0, 0, 0, 0] = float("nan")
    safetensors.torch.save_file(weights, path, safetensors.safe_open(path, "pt").metadata())
    with pytest.raises(ModelError, match=r"'encoder\.levels\.0\.0\.0\.weight' is not finite"):
        load_model(path)


@pytest.mark.parametrize("width", [10**7, 10**12])
def test_a_card_of_any_width_takes_no_memory(path: Path, width: int) -> None:
    card = json.loads(safetensors.safe_open(path, "pt").metadata()["rsmtl"])
    rewrite(path, config={**card["config"], "width": width})
    with pytest.raises(
        ModelError, match=r"do not fit the system its card names|describes a 'urec' that cannot be built"
    ):
        load_model(path)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.complex64, torch.int32])
def test_weights_of_types_that_no_system_has(path: Path, dtype: torch.dtype) -> None:
    weights = safetensors.torch.load_file(path)
    name = next(name for name, tensor in weights.items() if tensor.ndim > 1)
    weights[name] = weights[name].to(dtype)
    safetensors.torch.save_file(weights, path, safetensors.safe_open(path, "pt").metadata())
    with pytest.raises(
        ModelError, match=r"its weight '.*' is of type \w+, expected one of F64, F32, F16, BF16, I64; s"
    ):
        load_model(path)


def test_an_exported_program_is_no_checkpoint(tmp_path: Path) -> None:
    program = tmp_path / "model.pt2"
    program.write_bytes(b"PK\x03\x04")
    with pytest.raises(
        ModelError, match=r"model.pt2 is an exported program, which has no card of a checkpoint: give"
    ):
        read_card(program)


def test_classes_of_one_name_are_refused() -> None:
    with pytest.raises(
        ValidationError, match="'roofs' has classes of one name, whose scores would be mixed up"
    ):
        HeadSpec(
            name="roofs", channels=3, kind="classes", activation="softmax", classes=(*CLASSES[:2], CLASSES[0])
        )


def test_only_what_can_be_reduced_is_detached() -> None:
    module, card = fresh()
    other = card.model_copy(update={"spec": card.spec.model_copy(update={"system": "panseg"})})
    with pytest.raises(
        ModelError,
        match="nothing can be detached from 'panseg': only dsrl and urec can be reduced to their segm",
    ):
        detach(module, other)


def test_weights_too_large_for_half_precision_are_not_written(tmp_path: Path):
    module, card = fresh()
    with torch.no_grad():
        module.segmentation_head.weight.fill_(1e6)
    with pytest.raises(
        ModelError, match=r"was not written: its weight 'segmentation_head\.weight' is not finite"
    ):
        save_checkpoint(tmp_path / "m.safetensors", module, card, "fp16")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch):
    before = path.read_bytes()

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", no_space)
    with pytest.raises(RunError, match=r"cannot write the checkpoint .*No space left on device"):
        save_checkpoint(path, *fresh(seed=1))
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_model_travels_as_source_and_hash(path: Path):
    model = load_model(path)
    parcel = pickle.dumps(model)
    assert len(parcel) < 500
    arrived = pickle.loads(parcel)
    assert arrived.sha256 == model.sha256
    assert arrived.spec == model.spec
    assert pickle.loads(parcel) is arrived


def test_model_in_memory_travels_whole():
    module, card = fresh()
    model = Model.from_module(module, card.spec)
    arrived = pickle.loads(pickle.dumps(model))
    assert arrived.sha256 == model.sha256
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(arrived.module(image)["segmentation"], module(image)["segmentation"])


def test_worker_with_another_file_refuses(path: Path):
    parcel = pickle.dumps(load_model(path))
    save_checkpoint(path, *fresh(seed=1))
    with pytest.raises(ModelError, match=r"on this worker has sha256 .*put the same file on every machine"):
        pickle.loads(parcel)


def test_threads_load_once(path: Path, monkeypatch: pytest.MonkeyPatch):
    parcel = pickle.dumps(load_model(path))
    loads: list[str] = []

    def counted(source: str) -> Model:
        loads.append(source)
        return load_model(source)

    monkeypatch.setattr(under_test, "load_model", counted)
    arrived: list[Model] = []
    threads = [threading.Thread(target=lambda: arrived.append(pickle.loads(parcel))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loads == [str(path)]
    assert all(model is arrived[0] for model in arrived)


def test_relative_path_becomes_absolute(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(path.parent)
    assert load_model("m.safetensors").source == str(path)


@pytest.mark.parametrize("name", shipped_models())
def test_shipped_models_are_small_and_run(name: str):
    folder = Path(under_test.__file__).parent / "weights"
    assert (folder / f"{name}.safetensors").stat().st_size < 4_000_000
    assert (folder / f"{name}.md").is_file()
    model = load_model(name)
    assert model.source == name
    head = model.spec.head("segmentation")
    assert len({c.color for c in head.classes}) == head.n_classes
    with torch.inference_mode():
        inputs = (torch.rand(1, i.channels, *[int(64 * i.scale)] * 2) for i in model.spec.inputs)
        outputs = model.module(*inputs)
    assert all(torch.isfinite(t).all() for t in outputs.values())


def test_there_are_shipped_models():
    assert {"dsrl-kampala", "panseg-landscape", "srseg-kampala", "urec-dubai", "urec-landscape"} <= set(
        shipped_models()
    )
