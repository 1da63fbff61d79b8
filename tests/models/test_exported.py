"""Exported programs: they run as the module they came from, and none can run code when it is opened."""

import io
import json
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from rsmtl.config import Settings
from rsmtl.dispatch import ClusterExecutor, threads
from rsmtl.engine.lazy import predict
from rsmtl.engine.product import write
from rsmtl.engine.verify import verify
from rsmtl.errors import ModelError, RunError
from rsmtl.models import load_model, save_exported
from rsmtl.models.operators import OPERATORS, is_known
from rsmtl.models.spec import HeadSpec
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


def test_it_runs_in_threads_and_processes_and_verifies(
    path: Path, workers: ClusterExecutor, tmp_path: Path
) -> None:
    scene = open_scene(fakes.ragged_tiff(tmp_path / "scene.tif", 200, 230))
    found = []
    with threads(2) as two:
        for k, executor in enumerate((None, two, workers)):
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
        match=r"exported for 2 window\(s\) of 64 px at a time, got 2 .*: run it with `--window 64 --bat",
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


def in_config(kind: str, change: Callable[[dict], None]) -> Callable[[str, bytes], bytes]:
    def rewrite(name: str, data: bytes) -> bytes:
        if not name.endswith(f"model_{kind}_config.json"):
            return data
        found = json.loads(data)
        change(found["config"])
        return json.dumps(found).encode()

    return rewrite


def first_node(key: str, value: object) -> Callable[[dict], None]:
    def change(program: dict) -> None:
        program["graph_module"]["graph"]["nodes"][0][key] = value

    return change


def structure(which: str, change: Callable[[list], None]) -> Callable[[dict], None]:
    def rewrite(program: dict) -> None:
        signature = program["graph_module"]["module_call_graph"][0]["signature"]
        found = json.loads(signature[which])
        change(found)
        signature[which] = json.dumps(found)

    return rewrite


def enumeration(found: list) -> None:
    found[1]["context"] = json.dumps(["a", {"__enum__": True, "fqn": "os:path", "name": "x"}])


def default_dict(found: list) -> None:
    found[1]["type"] = "collections.defaultdict"
    found[1]["context"] = {"default_factory_module": "os", "default_factory_name": "F", "dict_context": ["a"]}


def keys_of_code(found: list) -> None:
    found[1]["children_spec"][1]["context"] = json.dumps(["x): pass\nimport os #"])


def guard(program: dict) -> None:
    program["guards_code"] = ["__import__('os').system('true')"]


def expression(program: dict) -> None:
    program["range_constraints"] = {"s0": {"min_val": 1, "max_val": 2}}


def symbolic_size(program: dict) -> None:
    tensors = program["graph_module"]["graph"]["tensor_values"]
    next(iter(tensors.values()))["sizes"] = [{"as_expr": {"expr_str": "__import__('os')"}}]


def from_file(program: dict) -> None:
    arguments = {
        "filename": {"as_string": "/tmp/x"},
        "shared": {"as_bool": True},
        "size": {"as_int": 11},
    }
    node = program["graph_module"]["graph"]["nodes"][0]
    node["target"] = "torch.ops.aten.from_file.default"
    node["inputs"] = [{"name": name, "arg": arg, "kind": 1} for name, arg in arguments.items()]


CODE = """a", 0) or getattr(__import__('os'), 'system')('true') or getattr(self, "a"""


def named(kind: str, key: str) -> Callable[[dict], None]:
    def change(program: dict) -> None:
        specs = program["graph_module"]["signature"]["input_specs"]
        next(one[kind] for one in specs if kind in one)[key] = CODE

    return change


def argument_named(program: dict) -> None:
    program["graph_module"]["module_call_graph"][0]["signature"]["forward_arg_names"] = ["x=print()"]


def weight_named(config: dict) -> None:
    config[CODE] = config.pop(next(iter(config)))


def dunder(config: dict) -> None:
    config["__class__.x"] = config.pop(next(iter(config)))


def pickled(config: dict) -> None:
    next(iter(config.values()))["use_pickle"] = True


def larger(config: dict) -> None:
    next(iter(config.values()))["tensor_meta"]["sizes"] = [{"as_int": 10**9}] * 4


def smaller(config: dict) -> None:
    """The attack: a kernel that believes the graph reads the rest from beyond the weight."""
    next(iter(config.values()))["tensor_meta"]["sizes"][0]["as_int"] = 1


def of_other_type(config: dict) -> None:
    next(iter(config.values()))["tensor_meta"]["dtype"] = 3


def other_strides(config: dict) -> None:
    next(iter(config.values()))["tensor_meta"]["strides"][0]["as_int"] = 0


def twice(name: str, data: bytes) -> bytes:
    """Of two tensors of one name the graph may be given the one that was not looked at."""
    if not name.endswith("model_constants_config.json"):
        return data
    found = json.loads(data)
    one = next(iter(found["config"].values()))
    found["config"]["blocks.conv-1.bias"] = one
    return json.dumps(found).encode()


def under_another_name(config: dict) -> None:
    config["other"] = config.pop(next(iter(config)))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (in_config("weights", smaller), "a tensor '.*' of other sizes than its graph takes"),
        (in_config("weights", of_other_type), "a tensor '.*' of other sizes than its graph takes"),
        (in_config("weights", other_strides), "a tensor '.*' of other sizes than its graph takes"),
        (twice, "a tensor 'blocks.conv-1.bias' twice"),
        (in_config("weights", under_another_name), "a graph that takes a tensor '.*' that is not there"),
        (in_config("weights", pickled), "'True' as config.*use_pickle"),
        (in_config("weights", weight_named), "'a\", 0.*a weight's name is letters"),
        (in_config("weights", dunder), "'__class__.x' as config"),
        (in_config("weights", larger), "a tensor '.*' of other sizes than its graph takes"),
        (in_graph(first_node("target", "torch.os.system")), "'torch.os.system' as graph_module.graph.nodes.0.target"),
        (in_graph(first_node("target", "math.floor")), "'math.floor' as "),
        (in_graph(first_node("target", "torch.ops.aten.save.default")), "'torch.ops.aten.save.default' as "),
        (in_graph(from_file), "'torch.ops.aten.from_file.default' as .*must be one of rsmtl.models.operators"),
        (in_graph(first_node("name", "x): pass\nimport os #")), "'x.*' as graph_module.graph.nodes.0.name"),
        (in_graph(first_node("other", 1)), "'1' as graph_module.graph.nodes.0.other"),
        (in_graph(named("parameter", "parameter_name")), "as graph_module.signature.*parameter_name"),
        (in_graph(named("buffer", "buffer_name")), "as graph_module.signature.*buffer_name"),
        (in_graph(named("tensor_constant", "tensor_constant_name")), "as graph_module.signature.*constant_name"),
        (in_graph(argument_named), "as graph_module.module_call_graph.0.signature.forward_arg_names"),
        (in_graph(structure("out_spec", enumeration)), "as .*out_spec .a structure's keys are plain names"),
        (in_graph(structure("out_spec", default_dict)), "as .*out_spec .a structure is made of"),
        (in_graph(structure("in_spec", keys_of_code)), "as .*in_spec .a structure's keys are plain names"),
        (in_graph(guard), "as guards_code"),
        (in_graph(expression), "as range_constraints"),
        (in_graph(symbolic_size), "as graph_module.graph.tensor_values"),
    ],
)  # fmt: skip
def test_what_could_run_code_is_refused_before_it_is_opened(
    change, what: str, with_everything: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = rewritten(with_everything, tmp_path / "evil.pt2", change)
    monkeypatch.setattr(torch.export, "load", lambda _: pytest.fail("PyTorch saw it"))
    with pytest.raises(
        ModelError, match=rf"(?s){what}.*, which could run any code when opened: it was not opened; write"
    ):
        load_model(evil)


def weight_and_graph_smaller(name: str, data: bytes) -> bytes:
    """The file agrees with itself, but no convolution takes a bias of one number for two channels."""
    bias = "blocks.conv-1.bias"
    data = in_config("weights", lambda config: config[bias]["tensor_meta"].update(sizes=[{"as_int": 1}]))(
        name, data
    )

    def in_values(program: dict) -> None:
        specs = program["graph_module"]["signature"]["input_specs"]
        parameters = [one["parameter"] for one in specs if "parameter" in one]
        (value,) = (one["arg"]["name"] for one in parameters if one["parameter_name"].endswith(bias))
        program["graph_module"]["graph"]["tensor_values"][value]["sizes"] = [{"as_int": 1}]

    return in_graph(in_values)(name, data)


def result_larger(program: dict) -> None:
    graph = program["graph_module"]["graph"]
    found = graph["nodes"][-1]["outputs"][0]["as_tensor"]["name"]
    graph["tensor_values"][found]["sizes"][0]["as_int"] = 5


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (weight_and_graph_smaller, "a call 'conv2d.*' of aten.conv2d.default that cannot be made"),
        (
            in_graph(result_larger),
            r"'.*' as float32 \(5, 2, 8, 8\), where aten.add.Tensor gives float32 \(1, 2, 8, 8\)",
        ),
    ],
)
def test_sizes_that_do_not_follow_are_refused_before_anything_is_run(
    change, what: str, with_everything: Path, tmp_path: Path
) -> None:
    evil = rewritten(with_everything, tmp_path / "evil.pt2", change)
    with pytest.raises(
        ModelError, match=rf"(?s){what}.*memory that is not its own, and was not run; write it"
    ):
        load_model(evil)


class Everything(torch.nn.Module):
    """Has parameters under awkward names, buffers and constants, and turns gradients off by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = torch.nn.ModuleDict(
            {"conv-1": torch.nn.Conv2d(3, 2, 1), "_conv2": torch.nn.Conv2d(3, 2, 1)}
        )
        self.register_buffer("middle", torch.ones(3, 1, 1) / 2, persistent=False)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            image = image - torch.tensor([0.1, 0.2, 0.3])[:, None, None] * self.middle
            one, other = self.blocks["conv-1"](image).split(1, dim=1)
        found = torch.nn.functional.gelu(torch.cat([other, one], 1), approximate="tanh").clamp(
            max=float("inf")
        )
        return {"segmentation": found + self.blocks["_conv2"](image)}


def save_everything(path: Path) -> Everything:
    torch.manual_seed(0)
    module = Everything()
    save_exported(path, module, fakes.class_mixer().spec.model_copy(update={"heads": (HEAD,)}), window=8)
    return module


HEAD = HeadSpec(name="segmentation", channels=2, kind="classes", activation="softmax")


@pytest.fixture(scope="module")
def with_everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("everything") / "everything.pt2"
    save_everything(made)
    return made


def test_a_module_of_ones_own_comes_back_to_the_bit(tmp_path: Path) -> None:
    module, image = save_everything(tmp_path / "own.pt2"), torch.rand(1, 3, 8, 8)
    loaded = load_model(tmp_path / "own.pt2").module
    with torch.inference_mode():
        assert torch.equal(module(image)["segmentation"], loaded(image)["segmentation"])


class Tied(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.other, self.unused = (torch.nn.Conv2d(3, 3, 1) for _ in range(3))
        self.other.weight = self.one.weight

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"same": self.other(self.one(image.contiguous(memory_format=torch.channels_last)))}


def test_weights_that_are_shared_unused_or_in_another_layout_are_taken(tmp_path: Path) -> None:
    module = Tied().to(memory_format=torch.channels_last)
    save_exported(tmp_path / "tied.pt2", module, fakes.identity(3).spec, window=8)
    image = torch.rand(1, 3, 8, 8)
    with torch.inference_mode():
        assert torch.equal(load_model(tmp_path / "tied.pt2").module(image)["same"], module(image)["same"])


class Uninitialised(torch.nn.Module):
    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"same": image + torch.empty(1)}


def test_an_operator_that_no_file_may_have_is_named_when_writing(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError,
        match=r"module of 'fake' cannot be written as no.pt2: it has 'torch.ops.aten.empty.*plain operat",
    ):
        save_exported(tmp_path / "no.pt2", Uninitialised(), fakes.identity().spec, window=16)
    assert not list(tmp_path.iterdir())


class Dividing(torch.nn.Module):
    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        whole = image.to(torch.int64)
        return {"same": torch.div(whole, whole.flip(0), rounding_mode="trunc").to(torch.float32)}


def test_a_call_that_no_file_may_have_is_named_when_writing(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"cannot be written as no.pt2: it has a call of aten.div.Tensor_mode of integ"
    ):
        save_exported(tmp_path / "no.pt2", Dividing(), fakes.identity().spec, window=16)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"cannot write the program .*no.pt2: No such file or directory"):
        save_exported(
            tmp_path / "nowhere" / "no.pt2", fakes.identity().module, fakes.identity().spec, window=16
        )


def test_a_program_is_written_whole_or_not_at_all(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that looks while it is replaced sees what stood there."""
    standing = tmp_path / "urec.pt2"
    standing.write_bytes(path.read_bytes())
    seen = []
    monkeypatch.setattr(Path, "replace", lambda self, target: seen.append((self, Path(target).read_bytes())))
    save_exported(standing, fakes.identity().module, fakes.identity().spec, window=16)
    assert [found for _, found in seen] == [path.read_bytes()]


def test_operators_on_the_list_exist() -> None:
    for name in OPERATORS:
        overloads = getattr(torch.ops.aten, name).overloads()
        assert any(is_known(f"torch.ops.aten.{name}.{overload}") for overload in overloads), name


@pytest.mark.parametrize(
    "target",
    [
        "torch.ops.aten.from_file.default", "torch.ops.aten.from_file.out", "torch.ops.aten.add.out",
        "torch.ops.aten._unsafe_index.Tensor", "torch.ops.aten.set_.source_Storage", "torch.ops.aten.add.str",
        "torch.ops.higher_order.cond", "torch.ops.prims.add.default", "_operator.getitem", "torch.ops.aten.add",
        "torch.ops.aten.conv2d.default.__call__", "torch.ops.aten.as_strided.default", "torch.ops.aten.__class__.mro",
    ],
)  # fmt: skip
def test_operators_that_reach_beyond_tensors_are_unknown(target: str) -> None:
    assert not is_known(target)


def test_a_pickle_among_the_sample_inputs_is_not_opened(path: Path, tmp_path: Path) -> None:
    trace, buffer = tmp_path / "trace", io.BytesIO()
    torch.save(Evil(trace), buffer)
    evil = rewritten(
        path,
        tmp_path / "evil.pt2",
        lambda name, data: buffer.getvalue() if name.endswith("model.pt") else data,
    )
    assert load_model(evil).spec == load_model(path).spec
    assert not trace.exists()


def test_entries_that_grow_are_refused_before_they_are_read(path: Path, tmp_path: Path) -> None:
    evil = tmp_path / "evil.pt2"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(evil, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        new.writestr(f"{old.namelist()[0].split('/')[0]}/data/weights/weight_999", bytes(200 * 2**20))
    tracemalloc.start()
    with pytest.raises(ModelError, match="holds entries that are larger than the file, which could run"):
        load_model(evil)
    assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    tracemalloc.stop()


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
