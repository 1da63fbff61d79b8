"""The joint network is the published one: counts, shapes, what is shared, what each loss teaches."""

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from rsmtl.errors import ModelError
from rsmtl.losses import loss_terms
from rsmtl.models.panseg import PanSeg, PanSegConfig, build_panseg, panseg_spec, panseg_terms

ENCODER = 4_828_320


def n_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def shape_only(**config) -> PanSeg:
    with torch.device("meta"):
        return PanSeg(PanSegConfig(**config))


@pytest.mark.parametrize(
    ("layout", "config", "expected"),
    [
        ("code", {}, 11_101_092),
        ("code", {"ms_channels": 4}, 11_101_668),
        ("code", {"ms_channels": 8}, 11_103_972),
        ("code", {"tasks": ("segmentation",)}, 7_964_673),
        ("code", {"tasks": ("hrms",)}, 7_964_739),
        ("figure", {}, 10_308_644),
        ("figure", {"ms_channels": 4}, 10_309_220),
        ("figure", {"ms_channels": 8}, 10_311_524),
        ("figure", {"tasks": ("segmentation",)}, 7_568_417),
        ("figure", {"tasks": ("hrms",)}, 7_568_547),
    ],
)
def test_published_parameter_counts(layout: str, config: dict, expected: int) -> None:
    assert n_parameters(shape_only(layout=layout, **config)) == expected


def test_published_counts_by_part() -> None:
    module = shape_only()
    encoder = module.encoder
    assert n_parameters(encoder) == ENCODER
    assert [n_parameters(b) for b in (*encoder.pan, encoder.ms, *encoder.trunk, encoder.centre)] == [
        *(9_696, 55_680, 38_976),
        *(295_680, 886_272, 3_542_016),
    ]
    segmentation, hrms = module.decoders["segmentation"], module.decoders["hrms"]
    assert [n_parameters(stage) for stage in segmentation.stages] == [2_360_832, 590_592, 147_840, 37_056]
    assert (n_parameters(segmentation.head), n_parameters(hrms.head)) == (33, 99)
    figure = shape_only(layout="figure").decoders
    assert [n_parameters(stage) for stage in figure["hrms"].stages] == [1_771_008, 738_048, 184_704, 46_272]
    assert (n_parameters(figure["segmentation"].head), n_parameters(figure["hrms"].head)) == (65, 195)


@pytest.mark.parametrize("layout", ["code", "figure"])
def test_both_tasks_share_the_encoder_alone(layout: str) -> None:
    both, one, other = (
        n_parameters(shape_only(layout=layout, tasks=tasks))
        for tasks in (("segmentation", "hrms"), ("segmentation",), ("hrms",))
    )
    assert both == one + other - ENCODER


def test_normalisation_and_initialisation_are_tensorflows() -> None:
    module = build_panseg(PanSegConfig(width=4))
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(n.eps, n.momentum) for n in norms} == {(1e-3, 0.01)}
    assert sum(n.num_features for n in norms) * 8 == 4032
    kernel = module.encoder.centre[0][0]
    assert not kernel.bias.any()
    assert kernel.weight.abs().max() <= (6 / (9 * 32 + 9 * 64)) ** 0.5  # Glorot's bound


def test_shapes_at_full_width() -> None:
    module = shape_only().eval()
    pan, ms = torch.empty(2, 1, 256, 256, device="meta"), torch.empty(2, 3, 64, 64, device="meta")
    outputs = module(pan, ms)
    assert outputs["segmentation"].shape == (2, 1, 256, 256)
    assert outputs["hrms"].shape == (2, 3, 256, 256)
    centre, skips = module.encoder(pan, ms)
    assert centre.shape == (2, 512, 16, 16)
    assert [tuple(s.shape[1:3]) for s in skips] == [(32, 256), (64, 128), (128, 64), (256, 32)]


def small(**config) -> tuple[PanSeg, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return build_panseg(PanSegConfig(width=4, **config)), torch.rand(2, 1, 32, 48), torch.rand(2, 3, 8, 12)


@pytest.mark.parametrize("layout", ["code", "figure"])
def test_who_depends_on_what(layout: str) -> None:
    module, pan, ms = small(layout=layout)
    module.eval()
    with torch.inference_mode():
        before = module(pan, ms)
        module.decoders["segmentation"].stages[1][0][0].weight.add_(0.1)
        after = module(pan, ms)
        assert torch.equal(before["hrms"], after["hrms"])
        assert not torch.equal(before["segmentation"], after["segmentation"])
        module.encoder.centre[0][0].weight.add_(0.1)
        last = module(pan, ms)
        without_ms = module(pan, torch.zeros_like(ms))
    for head in ("segmentation", "hrms"):
        assert not torch.equal(after[head], last[head])
        assert not torch.equal(without_ms[head], last[head])
    assert last["hrms"].min() > 0
    assert last["hrms"].max() < 1


@pytest.mark.parametrize(("alpha", "idle"), [(1.0, "hrms"), (0.0, "segmentation")])
def test_a_term_without_weight_teaches_its_decoder_nothing(alpha: float, idle: str) -> None:
    module, pan, ms = small()
    batch = {"segmentation": torch.randint(0, 2, (2, 32, 48)), "hrms": torch.rand(2, 3, 32, 48)}
    terms = loss_terms(
        panseg_terms(PanSegConfig()), module(pan, ms), batch, {"segmentation": alpha, "hrms": 1 - alpha}
    )
    sum(terms.values()).backward()
    gradients = {task: [p.grad for p in d.parameters()] for task, d in module.decoders.items()}
    assert all(g is None or not g.any() for g in gradients.pop(idle))
    assert all(g.any() for g in next(iter(gradients.values()))[-2:])
    assert module.encoder.centre[1][0].weight.grad.any()


def test_one_task_alone_has_no_alpha() -> None:
    assert [(t.name, t.weight) for t in panseg_terms(PanSegConfig(tasks=("hrms",)))] == [("hrms", 1.0)]
    with pytest.raises(ValidationError, match="tasks are segmentation, hrms, or both in this order"):
        PanSegConfig(tasks=())


def test_more_classes_have_a_softmax() -> None:
    module, pan, ms = small(n_classes=5)
    assert module(pan, ms)["segmentation"].shape[1] == 5
    head = panseg_spec(PanSegConfig(n_classes=5), bands={}, classes=(), radiometry={}).head("segmentation")
    assert (head.channels, head.activation) == (5, "softmax")


def test_a_ratio_of_two_changes_no_weight() -> None:
    assert n_parameters(shape_only(ratio=2)) == 11_101_092
    module, pan, _ = small(ratio=2)
    assert module(pan, torch.rand(2, 3, 16, 24))["hrms"].shape == (2, 3, 32, 48)


def test_sizes_that_do_not_go_together_are_refused() -> None:
    module, pan, ms = small()
    with pytest.raises(
        ModelError, match="'pan' must have a height and a width that are multiples of 16, got 33×48"
    ):
        module(torch.rand(2, 1, 33, 48), ms)
    with pytest.raises(
        ModelError, match=r"'ms' must be 8×12 pixels beside a 'pan' of 32×48, .* got 9×12: align it"
    ):
        module(pan, torch.rand(2, 3, 9, 12))
