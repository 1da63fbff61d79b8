"""The memory of a forward pass is that of the tensors alive at its peak."""

from dataclasses import replace

import torch

from rsmtl.engine.forward_bytes import forward_bytes
from tests import fakes


class Chain(torch.nn.Module):
    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        wide = image.repeat(1, 8, 1, 1)
        return {"same": wide[:, :1] * 2}


class Choosy(Chain):
    """Decides by numbers, which tensors without them cannot tell."""

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return super().forward(image + 1 if image.max() > 0 else image)


def test_a_chain_of_layers() -> None:
    model, one = fakes.one_input_model(Chain(), 1, fakes.continuous("same", 1)), 64 * 64 * 4
    assert forward_bytes(model, 64, 1, "fp32") == one + 8 * one + one
    assert forward_bytes(model, 64, 3, "fp32") == 30 * one


def test_a_module_that_must_be_run() -> None:
    model, one = fakes.one_input_model(Choosy(), 1, fakes.continuous("same", 1)), 64 * 64 * 4
    assert forward_bytes(model, 64, 1, "fp32") >= 10 * one


def test_a_module_in_memory_is_looked_at_once_and_an_edited_one_again() -> None:
    calls: list[int] = []
    module = Chain()
    module.register_forward_hook(lambda *_: calls.append(1))
    model = replace(fakes.one_input_model(module, 1, fakes.continuous("same", 1)), sha256="one")
    for one in (model, replace(model), replace(model, sha256="edited")):
        forward_bytes(one, 64, 1, "fp32")
    assert len(calls) == 2
