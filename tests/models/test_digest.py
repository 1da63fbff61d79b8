"""What a module computes decides its digest, and nothing else does: edited modules are others, equal ones are not."""

import functools
import subprocess
import sys
import threading
import types
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rsmtl.models.digest import Untellable, digest
from rsmtl.models.model import Model
from rsmtl.models.spec import HeadSpec, InputSpec, ModelSpec

CELL = """
import functools
import numpy as np
import torch
from torch import nn
import helpers

LIMIT = {limit}
TABLE = {{"a": [{table}]}}

def outer(x):
    return inner(x) + TABLE["a"][0]

def inner(x):
    return x * {inner}

def made(gain):
    return lambda x: x * gain

def decorated(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args) {wrapped}
    return wrapper

class Base(nn.Module):
    step = {step}
    def shift(self, x, by={default}):
        return x + by

class Net(Base):
    def __init__(self):
        super().__init__()
        self.threshold = {attribute}
        self.table = np.arange({array})
        self.closed = made({closure})
        self.part = functools.partial(inner, {partial})
        self.register_buffer("hidden", torch.tensor([{buffer}]), persistent=False)
        self.weight = nn.Parameter(torch.tensor([{weight}]))
        self.layers = nn.Sequential(nn.Conv2d(1, 1, {kernel}), nn.{activation}())
        with torch.no_grad():
            self.layers[0].weight.fill_({filled}); self.layers[0].bias.zero_()
        if {hook}:
            self.register_forward_pre_hook(lambda module, args: (args[0] + 1,))

    def save(self, path):  # of no consequence for what comes out
        open(path, "w").write("x")

    @decorated
    def twice(self, x):
        return self.shift(x) * self.step

    def forward(self, image):
        from helpers import late
        chosen = {{v for v in (1.5, 2.5, {member})}}
        return {{"out": (outer(self.twice(image)) > {code}) * LIMIT * helpers.GAIN + len(chosen) + late(image)}}
"""
PLAIN = {
    "limit": "1",
    "table": "1",
    "inner": "2",
    "wrapped": "",
    "step": "1",
    "default": "0",
    "attribute": "0.5",
    "array": "3",
    "closure": "2",
    "partial": "1",
    "buffer": "1.0",
    "weight": "1.0",
    "kernel": "1",
    "activation": "ReLU",
    "filled": "0.5",
    "hook": "False",
    "member": "3",
    "code": "0.5",
}
OTHER = {"weight": "7.0", "wrapped": "* 2", "activation": "GELU", "kernel": "3", "hook": "True"}
HELPERS = "GAIN = {gain}\nUNUSED = {unused}\ndef late(x):\n    return x * {late}\n"


def cell(gain: str = "1", late: str = "2", unused: str = "1", **edited: str) -> nn.Module:
    """Run a notebook's cell, and return what it makes."""
    helpers = types.ModuleType("helpers")
    exec(HELPERS.format(gain=gain, late=late, unused=unused), vars(helpers))
    sys.modules["helpers"] = helpers
    scope = {"__name__": "__main__"}
    exec(CELL.format(**(PLAIN | edited)), scope)
    return scope["Net"]()


@pytest.fixture(autouse=True)
def _no_helpers_left():
    yield
    sys.modules.pop("helpers", None)


def test_the_same_code_run_twice_is_the_same_module():
    assert digest(cell()) == digest(cell()) == digest(cell(unused="2"))


@pytest.mark.parametrize("name", [*PLAIN, "gain", "late"])
def test_whatever_is_edited_makes_another_module(name):
    edited = OTHER.get(name, "7")
    assert digest(cell(**{name: edited})) != digest(cell())


@given(
    st.dictionaries(st.sampled_from(["limit", "attribute", "code", "closure", "table"]), st.integers(0, 9)),
    st.dictionaries(st.sampled_from(["limit", "attribute", "code", "closure", "table"]), st.integers(0, 9)),
)
@settings(max_examples=20, deadline=None)
def test_modules_are_the_same_just_if_their_code_is(one, other):
    texts = [{name: str(value) for name, value in edited.items()} for edited in (one, other)]
    same = (PLAIN | texts[0]) == (PLAIN | texts[1])
    assert (digest(cell(**texts[0])) == digest(cell(**texts[1]))) == same


def test_it_is_the_same_in_another_process(tmp_path: Path):
    script = tmp_path / "told.py"
    script.write_text(
        "import sys\nfrom rsmtl.models.digest import digest\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n{CELL.format(**PLAIN)}\nprint(digest(Net()))\n"
    )
    (tmp_path / "helpers.py").write_text(HELPERS.format(gain=1, late=2, unused=1))
    said = {subprocess.run([sys.executable, script], text=True, capture_output=True).stdout for _ in "ab"}
    assert len(said) == 1
    assert len(said.pop().strip()) == 64


def test_what_cannot_be_told_is_never_the_same():
    class Locked(nn.Module):
        def __init__(self):
            super().__init__()
            self.lock = threading.Lock()

    class Reading(nn.Module):
        def forward(self, image):
            return {"out": image * float(Path("factor").read_text())}

    for module in (Locked(), Reading()):
        with pytest.raises(Untellable):
            digest(module)
        assert Model.from_module(module, _spec()).sha256 != Model.from_module(module, _spec()).sha256
        assert len({Model.from_module(module, _spec(), "v1").sha256 for _ in range(2)}) == 1


def test_a_version_counts_and_the_weights_with_it():
    module = cell()
    told = functools.partial(Model.from_module, spec=_spec())
    assert told(module, version="1").sha256 == told(cell(code="7"), version="1").sha256
    assert told(module, version="1").sha256 != told(module, version="2").sha256
    assert told(module, version="1").sha256 != told(cell(weight="2.0"), version="1").sha256


def test_a_module_edited_after_it_was_wrapped_is_another():
    module = cell()
    model = Model.from_module(module, _spec())
    assert model.as_it_is().sha256 == model.sha256
    module.threshold = 0.75
    assert model.as_it_is().sha256 != model.sha256


def test_scripted_modules_are_told():
    scripted = [torch.jit.script(nn.Sequential(nn.Linear(1, 1, bias=b), nn.ReLU())) for b in (True, False)]
    assert digest(scripted[0]) == digest(scripted[0]) != digest(scripted[1])


def _spec() -> ModelSpec:
    return ModelSpec(
        system="own",
        inputs=(InputSpec(name="image", channels=1),),
        heads=(HeadSpec(name="out", channels=1, kind="continuous", like="image"),),
    )
