"""FuseNet and PanNet are those that the joint network was compared with."""

import pytest
import torch
from torch import nn

from rsmtl.models.fusenet import FuseNet, FuseNetConfig
from rsmtl.models.pannet import PanNet, PanNetConfig, build_pannet, high_pass


def n_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("skips", "expected"), [(False, 528_177), (True, 571_185)])
def test_fusenet_counts(skips: bool, expected: int) -> None:
    with torch.device("meta"):
        assert n_parameters(FuseNet(FuseNetConfig(skips=skips))) == expected
        assert n_parameters(FuseNet(FuseNetConfig(skips=skips, ms_channels=4))) == expected + 32


def test_fusenet_runs_its_trunk_to_a_sixteenth() -> None:
    with torch.device("meta"):
        module = FuseNet(FuseNetConfig())
        seen: list[torch.Size] = []
        module.ups[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
        outputs = module(torch.empty(2, 1, 256, 256), torch.empty(2, 3, 64, 64))
    assert seen == [(2, 128, 16, 16)]
    assert outputs["segmentation"].shape == (2, 1, 256, 256)


@pytest.mark.parametrize(
    ("config", "expected"),
    [({}, 76_614), ({"ms_channels": 8}, 83_024), ({"upsampling": "bicubic"}, 76_547)],
)
def test_pannet_counts(config: dict, expected: int) -> None:
    with torch.device("meta"):
        assert n_parameters(PanNet(PanNetConfig(**config))) == expected


def test_high_frequencies_of_a_plane_are_nothing() -> None:
    plane = (torch.arange(12.0)[:, None] + 2 * torch.arange(15.0)[None])[None, None]
    inner = high_pass(plane)[..., 2:-2, 2:-2]
    assert torch.allclose(inner, torch.zeros_like(inner), atol=1e-4)


def test_pannet_adds_detail_to_ms_and_is_linear_in_its_level() -> None:
    """A constant has no high frequencies: what is added does not depend on it."""
    torch.manual_seed(0)
    module = build_pannet(PanNetConfig(width=4)).eval()
    pan, ms = torch.rand(1, 1, 32, 32), torch.rand(1, 3, 8, 8)
    with torch.inference_mode():
        before, after = module(pan, ms)["hrms"], module(pan + 3, ms + 5)["hrms"]
    assert torch.allclose(after - before, torch.full_like(before, 5.0), atol=1e-4)
