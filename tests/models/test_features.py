"""Encoders and decoders under their contracts: the U-Net's halves, and timm's networks."""

import sys

import pytest
import torch
from torch import nn

from rsmtl.errors import ModelError
from rsmtl.models.features import FeatureEncoder, UNetDecoder, UNetEncoder
from rsmtl.models.timm_encoder import TimmEncoder
from tests.torchvision_operators import declare_missing_operators


@pytest.fixture
def timm() -> None:
    declare_missing_operators()
    pytest.importorskip("timm", reason="the extra `timm` is not installed")


def assert_contract(encoder: FeatureEncoder, in_channels: int, height: int, width: int) -> list[torch.Tensor]:
    with torch.inference_mode():
        maps = encoder(torch.rand(2, in_channels, height, width))
    assert [tuple(m.shape) for m in maps] == [
        (2, c, height // r, width // r) for c, r in zip(encoder.channels, encoder.reductions, strict=True)
    ]
    assert list(encoder.reductions) == sorted(encoder.reductions)
    return maps


@pytest.mark.parametrize(("height", "width"), [(16, 16), (48, 16), (32, 80)])
def test_the_unet_encoder_keeps_the_contract(height: int, width: int) -> None:
    encoder = UNetEncoder(5, width=3).eval()
    assert encoder.channels == (3, 6, 12, 24, 48)
    assert_contract(encoder, 5, height, width)


@pytest.mark.parametrize(
    ("channels", "reductions"),
    [
        ((4, 8, 16, 32, 64), (1, 2, 4, 8, 16)),
        ((7, 5, 9), (2, 4, 8)),  # no map at the image's resolution
        ((6, 6), (4, 32)),  # gaps
        ((3,), (8,)),
        ((3,), (1,)),
    ],
)
def test_the_decoder_merges_any_list(channels: tuple[int, ...], reductions: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    decoder = UNetDecoder(channels, reductions, width=8).eval()
    maps = [torch.rand(2, c, 64 // r, 32 // r) for c, r in zip(channels, reductions, strict=True)]
    with torch.inference_mode():
        before = decoder(maps)
        assert before.shape == (2, decoder.channels, 64, 32)
        for i, one in enumerate(maps):
            changed = [*maps[:i], one + torch.rand_like(one), *maps[i + 1 :]]
            assert not torch.equal(decoder(changed), before), f"map {i} is not used"


def test_a_stage_at_a_coarser_resolution_has_more_channels() -> None:
    stages = UNetDecoder((5,), (64,), width=3).stages
    assert [stage[-1][0].out_channels for stage in stages] == [48, 48, 24, 12, 6, 3]


def test_upsampling_keeps_pixel_centres() -> None:
    """Pixels that hold the place of their centre still do so after it, but near the edge."""
    decoder = UNetDecoder((1,), (4,), width=1)
    decoder.stages = nn.ModuleList(nn.Identity() for _ in decoder.stages)
    columns = torch.arange(8) * 4 + 2.0
    fine = decoder([columns.expand(1, 1, 8, 8)])
    assert torch.allclose(fine[0, 0, 16, 4:-4], torch.arange(32)[4:-4] + 0.5)


@pytest.mark.parametrize("reductions", [(16, 16, 16), (2, 6), (4, 2), (0, 1), ()])
def test_reductions_that_cannot_be_merged_are_refused(reductions: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="must be reduced by ascending powers of two, got"):
        UNetDecoder((8,) * len(reductions), reductions, width=4)


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize(
    ("name", "channels", "reductions"),
    [
        ("resnet18", (64, 64, 128, 256, 512), (2, 4, 8, 16, 32)),
        ("convnext_atto", (40, 80, 160, 320), (4, 8, 16, 32)),
        ("mobilenetv3_small_050", (16, 8, 16, 24, 288), (2, 4, 8, 16, 32)),
    ],
)
def test_networks_of_timm_keep_the_contract(
    name: str, channels: tuple[int, ...], reductions: tuple[int, ...]
) -> None:
    encoder = TimmEncoder(name, 4).eval()
    assert (encoder.channels, encoder.reductions) == (channels, reductions)
    maps = assert_contract(encoder, 4, 64, 32)
    decoder = UNetDecoder(encoder.channels, encoder.reductions, width=4).eval()
    with torch.inference_mode():
        assert decoder(maps).shape == (2, 4, 64, 32)


@pytest.mark.usefixtures("timm")
def test_networks_that_timm_does_not_have_or_cannot_take_apart_are_refused() -> None:
    with pytest.raises(
        ModelError, match=r"timm \S+ has no network 'resnet_18': timm.list_models\(\) names them"
    ):
        TimmEncoder("resnet_18", 3)
    with pytest.raises(ModelError, match="feature maps of 'swin_tiny_patch4_window7_224' as NHWC, not NCHW"):
        TimmEncoder("swin_tiny_patch4_window7_224", 3)


def test_a_missing_timm_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)  # what Python itself raises ImportError for
    with pytest.raises(
        ModelError, match=r"an encoder of timm was asked for, .*: pip install 'rsmtl\[timm\]'"
    ):
        TimmEncoder("resnet18", 3)
