"""U-REC against the facts published of it (parameter counts, what is shared, what has skips)."""

import pytest
import torch
from torch import nn

from rsmtl.models.urec import UNetConfig, URec, URecConfig, build_unet, build_urec

SMALL = URecConfig(width=4)


def n_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def small(seed: int = 0, share_decoder: bool = True) -> URec:
    """A small U-REC in evaluation mode whose normalisation has statistics that are not the initial ones."""
    torch.manual_seed(seed)
    module = build_urec(SMALL.model_copy(update={"share_decoder": share_decoder}))
    module.train()
    for _ in range(20):
        module(torch.rand(4, 3, 64, 64))
    return module.eval()


def shape_only(config: UNetConfig) -> URec:
    """A module without memory for weights: enough to count and to see shapes at full width."""
    with torch.device("meta"):
        return build_urec(config) if isinstance(config, URecConfig) else build_unet(config)


def test_published_parameter_counts():
    assert n_parameters(shape_only(URecConfig())) == 25_062_729
    assert n_parameters(shape_only(UNetConfig())) == 21_916_998
    assert n_parameters(shape_only(URecConfig(share_decoder=False))) == 32_875_785


def test_published_counts_by_part():
    module = shape_only(URecConfig())
    assert n_parameters(module.encoder) == 7_815_456
    assert n_parameters(module.trunk) == 7_813_056
    assert n_parameters(module.segmentation_entries) + n_parameters(module.segmentation_head) == 6_288_486
    assert n_parameters(module.reconstruction_entries) + n_parameters(module.reconstruction_head) == 3_145_731


def test_a_class_costs_33_parameters_and_so_does_a_rebuilt_channel():
    base = n_parameters(shape_only(URecConfig()))
    assert n_parameters(shape_only(URecConfig(n_classes=7))) - base == 33
    first_convolution = 9 * 32
    assert n_parameters(shape_only(URecConfig(in_channels=4))) - base == 33 + first_convolution


def test_shapes_at_full_width():
    module = shape_only(URecConfig()).eval()
    image = torch.empty(2, 3, 256, 256, device="meta")
    outputs = module(image)
    bottleneck, skips = module.encoder(image)
    assert outputs["segmentation"].shape == (2, 6, 256, 256)
    assert outputs["reconstruction"].shape == (2, 3, 256, 256)
    assert bottleneck.shape == (2, 512, 8, 8)
    assert [s.shape[1] for s in skips] == [32, 64, 128, 256, 512]


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 96), (160, 32)])
def test_any_multiple_of_32(height: int, width: int):
    outputs = small()(torch.rand(1, 3, height, width))
    assert outputs["segmentation"].shape == (1, 6, height, width)
    assert outputs["reconstruction"].shape == (1, 3, height, width)


def test_channels_are_multiples_of_width():
    names = {
        name: p.shape[0]
        for name, p in shape_only(URecConfig(width=5)).named_parameters()
        if "head" not in name
    }
    assert all(channels % 5 == 0 for channels in names.values())
    assert max(names.values()) == 5 * 16


def test_reconstruction_has_no_skips():
    module = small()
    with torch.inference_mode():
        bottleneck, skips = module.encoder(torch.rand(2, 3, 64, 64))
        noise = [torch.randn_like(s) for s in skips]
        rebuilt = module.rebuild(bottleneck)
        image = torch.rand(2, 3, 64, 64)
        whole = module(image)
        assert torch.equal(module.rebuild(module.encoder(image)[0]), whole["reconstruction"])
        assert torch.equal(module.rebuild(bottleneck), rebuilt)
        assert not torch.allclose(module.segment(bottleneck, skips), module.segment(bottleneck, noise))
        for i, skip in enumerate(skips):
            one = [*skips]
            one[i] = torch.randn_like(skip)
            assert not torch.equal(module.segment(bottleneck, skips), module.segment(bottleneck, one)), i


@pytest.mark.parametrize("share_decoder", [True, False])
def test_what_is_shared(share_decoder: bool):
    image = torch.rand(1, 3, 64, 64)
    module = small(share_decoder=share_decoder)
    with torch.inference_mode():
        before = module(image)
        module.trunk[2][0][0].weight.zero_()
        after = module(image)
    assert not torch.equal(before["segmentation"], after["segmentation"])
    assert torch.equal(before["reconstruction"], after["reconstruction"]) is not share_decoder


def test_entries_belong_to_one_path():
    image = torch.rand(1, 3, 64, 64)
    module = small()
    with torch.inference_mode():
        before = module(image)
        module.segmentation_entries[3][0].weight.zero_()
        middle = module(image)
        module.reconstruction_entries[3][0].weight.zero_()
        after = module(image)
    assert not torch.equal(before["segmentation"], middle["segmentation"])
    assert torch.equal(before["reconstruction"], middle["reconstruction"])
    assert torch.equal(middle["segmentation"], after["segmentation"])
    assert not torch.equal(middle["reconstruction"], after["reconstruction"])


def test_shared_normalisation_sees_both_paths_in_a_step():
    module = build_urec(SMALL)
    module.train()(torch.rand(2, 3, 64, 64))
    assert module.trunk[1][0][1].num_batches_tracked == 2
    assert module.segmentation_entries[0][1].num_batches_tracked == 1
    assert module.reconstruction_entries[0][1].num_batches_tracked == 1


def test_outputs_are_linear():
    module = small()
    with torch.inference_mode():
        module.reconstruction_head.bias.fill_(7.0)
        module.segmentation_head.bias.fill_(-9.0)
        outputs = module(torch.rand(1, 3, 64, 64))
    assert outputs["reconstruction"].max() > 1
    assert (outputs["segmentation"].sum(dim=1) < 0).all()


def test_without_its_reconstruction_path_it_is_the_unet():
    urec = small()
    unet = build_unet(UNetConfig(width=4))
    unet.load_state_dict({k: v for k, v in urec.state_dict().items() if not k.startswith("reconstruction")})
    image = torch.rand(2, 3, 96, 64)
    with torch.inference_mode():
        plain = unet.eval()(image)
        assert set(plain) == {"segmentation"}
        assert torch.equal(plain["segmentation"], urec(image)["segmentation"])


def test_every_parameter_learns():
    module = build_urec(URecConfig(width=2, share_decoder=False)).train()
    outputs = module(torch.rand(2, 3, 64, 64))
    (outputs["segmentation"].square().mean() + outputs["reconstruction"].square().mean()).backward()
    assert [name for name, p in module.named_parameters() if p.grad is None] == []
