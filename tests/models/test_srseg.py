"""D-DBPN, SegNet, and both end to end, are the published ones."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rsmtl.errors import ModelError
from rsmtl.losses import loss_terms
from rsmtl.models.dbpn import Dbpn, DbpnConfig, build_dbpn
from rsmtl.models.segnet import SegNet, SegNetConfig, build_segnet, unpool
from rsmtl.models.srseg import SrSeg, SrSegConfig, build_srseg, joined_config, srseg_terms


def n_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("scale", "expected"), [(2, 5_953_526), (4, 10_426_358), (8, 23_205_878)])
def test_dbpn_counts(scale: int, expected: int) -> None:
    with torch.device("meta"):
        assert n_parameters(Dbpn(DbpnConfig(scale=scale))) == expected


def test_dbpn_counts_by_part() -> None:
    with torch.device("meta"):
        module = Dbpn(DbpnConfig())
    assert n_parameters(module.features) == 7_169
    assert n_parameters(module.narrow) == 16_449
    plain = 786_627
    assert [n_parameters(u) for u in module.ups] == [
        plain if t <= 1 else plain + 4096 * t + 65 for t in range(7)
    ]
    assert [n_parameters(d) for d in module.downs] == [
        plain if t == 1 else plain + 4096 * t + 65 for t in range(1, 7)
    ]
    assert n_parameters(module.head) == 12_099
    assert module.head.in_channels == 448
    kinds = [type(m) for m in module.modules()]
    assert kinds.count(nn.Conv2d) + kinds.count(nn.ConvTranspose2d) == 52
    assert kinds.count(nn.PReLU) == 51
    assert all(m.weight.numel() == 1 for m in module.modules() if isinstance(m, nn.PReLU))


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_dbpn_takes_any_size_to_exactly_its_scale(scale: int) -> None:
    module = build_dbpn(DbpnConfig(scale=scale, features=8, width=4, n_stages=3))
    assert module(torch.rand(1, 3, 5, 7))["sr"].shape == (1, 3, 5 * scale, 7 * scale)


def test_dbpn_reads_the_newest_maps_first() -> None:
    module = build_dbpn(DbpnConfig(features=8, width=4, n_stages=3)).eval()
    made: list[Tensor] = []
    given: list[Tensor] = []
    for up in module.ups:
        up.register_forward_hook(lambda _, __, output: made.append(output))
    module.head.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    with torch.inference_mode():
        module(torch.rand(1, 3, 6, 6))
    assert torch.equal(given[0], torch.cat(made[::-1], dim=1))


def test_dbpn_begins_with_kaiming_and_zero_bias() -> None:
    module = build_dbpn(DbpnConfig())
    kernel = module.features[0].weight
    assert kernel.std().item() == pytest.approx((2 / 27) ** 0.5, rel=0.03)
    assert not any(m.bias.any() for m in module.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d))


@pytest.mark.parametrize(
    ("rectified", "base", "per_class"), [(True, 29_443_008, 579), (False, 29_443_008, 577)]
)
def test_segnet_counts(rectified: bool, base: int, per_class: int) -> None:
    for n_classes in (2, 6, 19):
        with torch.device("meta"):
            module = SegNet(SegNetConfig(n_classes=n_classes, rectified_scores=rectified))
        assert n_parameters(module) == base + per_class * n_classes
        assert n_parameters(module.encoder) == 14_723_136
        kernels = [m for m in module.encoder.modules() if isinstance(m, nn.Conv2d)]
        assert sum(n_parameters(k) for k in kernels) == 14_714_688
        assert len(kernels) == 13


def test_combined_counts() -> None:
    with torch.device("meta"):
        assert n_parameters(build_srseg(SrSegConfig(rectified_scores=True))) == 39_872_840
        assert n_parameters(build_srseg(SrSegConfig(scale=8, rectified_scores=True))) == 52_652_360


def test_unpooling_puts_values_where_they_were() -> None:
    values = torch.randn(2, 3, 12, 10)
    pooled, indices = F.max_pool2d(values, 2, return_indices=True)
    back = unpool(pooled, indices, values.shape)
    at_maximum = values == F.interpolate(pooled, scale_factor=2, mode="nearest")
    assert torch.equal(back, torch.where(at_maximum, values, 0.0))


def test_scores_of_the_authors_variant_are_never_negative() -> None:
    torch.manual_seed(0)
    image = torch.rand(2, 3, 64, 64)
    authors, plain = (
        build_segnet(SegNetConfig(width=4, rectified_scores=flag)).eval()(image)["segmentation"]
        for flag in (True, False)
    )
    assert authors.min() >= 0
    assert plain.min() < 0


def test_segnet_of_low_resolution_segments_at_high() -> None:
    module = build_segnet(SegNetConfig(width=4, upsample=4))
    assert module(torch.rand(1, 3, 16, 24))["segmentation"].shape == (1, 6, 64, 96)


@pytest.mark.parametrize(("scale", "edge"), [(4, 120), (8, 60)])
def test_shapes_at_full_width(scale: int, edge: int) -> None:
    with torch.device("meta"):
        outputs = build_srseg(SrSegConfig(scale=scale)).eval()(torch.empty(1, 3, edge, edge))
    assert outputs["sr"].shape == (1, 3, 480, 480)
    assert outputs["segmentation"].shape == (1, 6, 480, 480)


SMALL = SrSegConfig(features=8, sr_width=4, n_stages=2, width=4)


def gradients(weights: dict[str, float]) -> tuple[list[bool], list[bool]]:
    torch.manual_seed(0)
    module = build_srseg(SMALL).train()
    batch = {"sr": torch.rand(2, 3, 96, 96), "segmentation": torch.randint(0, 6, (2, 96, 96))}
    sum(loss_terms(srseg_terms(SMALL), module(torch.rand(2, 3, 24, 24)), batch, weights).values()).backward()
    learns = [[p.grad is not None and bool(p.grad.any()) for p in half.parameters() if p.ndim > 1]
              for half in (module.sr, module.segmentation)]  # fmt: skip
    return learns[0], learns[1]


def test_the_cross_entropy_alone_teaches_both_halves() -> None:
    sr, segmentation = gradients({"sr": 0.0, "segmentation": 1000.0})
    assert all(sr)
    assert all(segmentation)


def test_the_error_of_super_resolution_teaches_its_half_alone() -> None:
    sr, segmentation = gradients({"sr": 0.1, "segmentation": 0.0})
    assert all(sr)
    assert not any(segmentation)


def test_nothing_lies_between_the_halves() -> None:
    module = build_srseg(SMALL)
    seen: list[Tensor] = []
    module.segmentation.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    outputs = module(torch.rand(1, 3, 16, 16))
    assert seen[0] is outputs["sr"]
    assert outputs["sr"].grad_fn is not None
    with torch.no_grad():
        module.sr.head.bias.fill_(40.0)
        assert module(torch.rand(1, 3, 16, 16))["sr"].max() > 1


class Heads(nn.Module):
    """Any module that gives one head."""

    def __init__(self, name: str, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.name, self.function = name, function

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {self.name: self.function(image)}


def test_both_halves_can_be_replaced() -> None:
    module = SrSeg(
        Heads("sr", lambda image: F.interpolate(image, scale_factor=3)),
        Heads("segmentation", lambda image: image.mean(dim=1, keepdim=True)),
    )
    outputs = module(torch.ones(1, 3, 5, 5))
    assert (outputs["sr"].shape, outputs["segmentation"].shape) == ((1, 3, 15, 15), (1, 1, 15, 15))


def test_super_resolution_as_preprocessing() -> None:
    """Two networks that were trained apart, in a row, give what they give one after the other."""
    torch.manual_seed(0)
    sr, segmentation = build_dbpn(SMALL.sr).eval(), build_segnet(SMALL.segmentation).eval()
    config = joined_config(SMALL.sr, SMALL.segmentation)
    assert config == SMALL
    module = build_srseg(config).eval()
    module.sr.load_state_dict(sr.state_dict())
    module.segmentation.load_state_dict(segmentation.state_dict())
    image = torch.rand(1, 3, 16, 16)
    with torch.inference_mode():
        apart = segmentation(sr(image)["sr"])["segmentation"]
        assert torch.equal(module(image)["segmentation"], apart)
    with pytest.raises(
        ModelError, match="of 3 bands goes before a SegNet of as many that does not upsample, got"
    ):
        joined_config(SMALL.sr, SegNetConfig(upsample=4))
