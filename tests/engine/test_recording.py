"""A forward pass is recorded where that can be done, with the same bits, and run as it is where it cannot."""

import logging

import pytest
import torch
from torch import Tensor, nn

from rsmtl.config import Settings
from rsmtl.engine import network
from rsmtl.engine.device import computing
from rsmtl.engine.network import forward
from rsmtl.engine.recording import Recording, Watch, recorded, same_bits
from rsmtl.models.model import Model
from tests import fakes

on_cuda = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


class Deciding(nn.Module):
    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"same": image if image.sum() < 1e9 else -image}


class Choosing(nn.Module):
    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"same": image - image[image > 0.5].mean()}


class Rolling(nn.Module):
    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"same": image + torch.rand_like(image)}


class Waiting(nn.Module):
    """Waits for the device, which no operator tells of."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        torch.cuda.current_stream().synchronize()
        return {"same": image + 1}


def one_band(module: nn.Module) -> Model:
    return fakes.one_input_model(module, 1, fakes.continuous("same", 1))


@pytest.mark.parametrize(
    ("module", "operator"),
    [(Deciding(), "aten._local_scalar_dense"), (Choosing(), "aten.index"), (Rolling(), "aten.rand_like")],
)
def test_what_the_host_decides_is_seen(module: nn.Module, operator: str) -> None:
    image = torch.rand(1, 1, 16, 16)
    with Watch(torch.device("cpu")) as watch:
        module(image)
    assert watch.reason.startswith(operator)
    assert watch.reason.endswith("depends on what the host knows")


def test_a_tensor_of_another_device_is_seen() -> None:
    image = torch.rand(1, 1, 16, 16, device="meta")
    with Watch(torch.device("meta")) as watch:
        fakes.PositionDependent()(image)
    assert watch.reason == "aten.linspace.default has a tensor on 'cpu'"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_network_gives_no_reason(precision: str) -> None:
    model, settings = fakes.random_urec(), Settings(precision=precision, tta="dihedral")
    image = torch.rand(2, 3, 64, 64)
    with torch.inference_mode(), Watch(torch.device("cpu")) as watch:
        forward(model, settings, [image])
    assert watch.reason == ""


def test_bits_are_compared_not_numbers() -> None:
    zero, nan = torch.zeros(2), torch.full((2,), torch.nan)
    assert same_bits({"a": zero, "b": nan}, {"b": nan.clone(), "a": zero.clone()})
    assert not same_bits({"a": zero}, {"a": -zero})


@pytest.mark.parametrize("tta", ["none", "dihedral"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("make", [fakes.random_urec, fakes.class_mixer, fakes.upsampler])
class TestRecorded:
    pytestmark = on_cuda

    def test_its_bits_are_those_of_the_function(self, make, precision: str, tta: str, monkeypatch) -> None:
        monkeypatch.setattr(network, "_RECORDED", {})
        model, settings = make(), Settings(device="cuda", precision=precision, tta=tta)
        n_bands = model.spec.inputs[0].channels
        for _ in range(3):
            image = torch.rand(2, n_bands, 64, 64, device="cuda")
            found = {name: values.clone() for name, values in forward(model, settings, [image]).items()}
            with torch.inference_mode():
                assert same_bits(found, network._passes(model, settings, [image]))
        (function,) = network._RECORDED.values()
        assert isinstance(function, Recording)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize(
    "module",
    [Deciding(), Choosing(), Waiting(), fakes.PositionDependent()],
    ids=lambda module: type(module).__name__,
)
def test_what_cannot_be_recorded_runs_and_is_told_once(module: nn.Module, monkeypatch, caplog) -> None:
    monkeypatch.setattr(network, "_RECORDED", {})
    model, settings = one_band(module), Settings(device="cuda")
    image = torch.rand(2, 1, 16, 16, device="cuda")
    expected = module(image)["same"]
    with caplog.at_level(logging.WARNING, logger="rsmtl"):
        for _ in range(2):
            assert torch.equal(forward(model, settings, [image])["same"], expected)
    assert [record.event for record in caplog.records] == ["forward pass not recorded"]
    with computing("cuda"), torch.inference_mode():  # and another one can be recorded after that
        other = recorded(lambda inputs: {"sum": inputs[0] + 1}, [image])
        assert isinstance(other, Recording)
        assert torch.equal(other([image * 2])["sum"], image * 2 + 1)
