"""Dual super-resolution learning: what training adds, what detaching takes away, what each objective teaches."""

import math
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from rsmtl.errors import ModelError
from rsmtl.losses import loss_terms
from rsmtl.models import Card, ClassSpec, ModelSpec, detach, load_model, save_checkpoint
from rsmtl.models.dsrl import (
    DSRL,
    DSRLConfig,
    build_dsrl,
    dsrl_spec,
    dsrl_terms,
    sub_pixel_tail,
)
from rsmtl.models.features import UNetDecoder
from rsmtl.models.urec import URecConfig, build_urec, urec_spec
from rsmtl.radiometry import Radiometry
from tests.torchvision_operators import declare_missing_operators

SMALL = DSRLConfig(width=4, in_channels=4, n_classes=5)
ONLY_TRAINING = ("sr_decoder.", "sr_tail.", "transform.")


def n_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def small(config: DSRLConfig = SMALL) -> DSRL:
    """In evaluation mode, with statistics of the normalisation that are not the initial ones."""
    torch.manual_seed(0)
    module = build_dsrl(config).train()
    with torch.no_grad():
        for _ in range(3):
            module(torch.rand(2, config.in_channels, 64, 64))
    return module.eval()


def spec(config: DSRLConfig) -> ModelSpec:
    return dsrl_spec(
        config,
        bands={"image": tuple("rgbn")[: config.in_channels]},
        classes=tuple(ClassSpec(name=str(i), color=(i, i, i)) for i in range(config.n_classes)),
        radiometry={"image": Radiometry(high=(255.0,))},
    )


def batch(config: DSRLConfig, height: int = 32, width: int = 64) -> dict[str, Tensor]:
    fine = height * config.scale, width * config.scale
    return {
        "image": torch.rand(2, config.in_channels, height, width),
        "sr": torch.rand(2, config.in_channels, *fine),
        "segmentation": torch.randint(config.n_classes, (2, *fine)),
    }


def learn(
    module: DSRL, config: DSRLConfig, weights: dict[str, float] | None = None
) -> dict[str, Tensor | None]:
    """The gradients of one training step."""
    module.train().zero_grad()
    data = batch(config)
    terms = loss_terms(dsrl_terms(config), module(data["image"]), data, weights)
    torch.stack(list(terms.values())).sum().backward()
    return {name: p.grad for name, p in module.named_parameters()}


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_shapes(scale: int) -> None:
    config = SMALL.model_copy(update={"scale": scale})
    image = torch.rand(2, 4, 32, 48)
    outputs = small(config).train()(image)
    assert outputs["segmentation"].shape == (2, 5, 32 * scale, 48 * scale)
    assert outputs["sr"].shape == (2, 4, 32 * scale, 48 * scale)
    assert outputs["segmentation_features"].shape == outputs["sr_features"].shape == (2, 4, 32, 48)
    assert set(small(config)(image)) == {"segmentation", "sr"} == {h.name for h in spec(config).heads}


@pytest.mark.parametrize(("height", "width"), [(33, 32), (32, 40), (8, 16)])
def test_sizes_that_are_no_multiple_of_16_are_refused(height: int, width: int) -> None:
    with pytest.raises(ModelError, match=f"multiples of 16, got {height}×{width}"):
        small()(torch.rand(1, 4, height, width))


def test_published_width_learns() -> None:
    config = DSRLConfig()
    gradients = learn(build_dsrl(config), config)
    assert all(g is not None and g.isfinite().all() for g in gradients.values())


def test_the_sub_pixel_tail_has_espcns_layers() -> None:
    assert n_parameters(sub_pixel_tail(64, 3, 2)) == 124_396
    tail = sub_pixel_tail(5, 3, 4)
    assert tail(torch.rand(1, 5, 7, 6)).shape == (1, 3, 28, 24)


def test_the_spec_says_where_outputs_lie() -> None:
    declared = spec(SMALL)
    assert (declared.system, declared.divisor) == ("dsrl", 16)
    assert {(h.name, h.channels, h.scale) for h in declared.heads} == {("segmentation", 5, 2), ("sr", 4, 2)}
    assert declared.input("image").scale == 1
    assert declared.head("sr").like == "image"


def test_the_whole_loss_is_the_weighted_sum() -> None:
    """Two classes of equal logits, a squared error of 0.04, features of two positions with an affinity of 0.5."""
    config = SMALL.model_copy(update={"n_classes": 2})
    outputs = {
        "segmentation": torch.zeros(1, 2, 2, 4),
        "sr": torch.full((1, 4, 2, 4), 0.7),
        "segmentation_features": torch.tensor([[1.0, 0.0], [0.0, 1.0]])[None, :, None],
        "sr_features": torch.tensor([[1.0, 1.0], [0.0, 0.0]])[None, :, None],
    }
    labels = {"segmentation": torch.ones(1, 2, 4, dtype=torch.int64), "sr": torch.full((1, 4, 2, 4), 0.5)}
    published = loss_terms(dsrl_terms(config), outputs, labels)
    plain = loss_terms(dsrl_terms(config), outputs, labels, dict.fromkeys(published, 1.0))
    assert {name: t.item() for name, t in published.items()} == pytest.approx(
        {"segmentation": math.log(2), "sr": 0.004, "affinity": 0.5}, rel=1e-5
    )
    assert sum(published.values()).item() == pytest.approx(1.1971472, abs=1e-6)
    assert sum(plain.values()).item() == pytest.approx(1.2331472, abs=1e-6)


def test_every_parameter_learns() -> None:
    gradients = learn(build_dsrl(SMALL), SMALL)
    assert {name for name, g in gradients.items() if g is None} == set()
    idle = {name for name, g in gradients.items() if not g.any()}
    assert all(name.endswith("bias") for name in idle), idle  # a normalisation takes the bias before it away


@pytest.mark.parametrize("idle", [{"sr": 0.0, "affinity": 0.0}, {}])
def test_without_its_objectives_the_super_resolution_learns_nothing(idle: dict[str, float]) -> None:
    gradients = learn(build_dsrl(SMALL), SMALL, {"segmentation": 1.0, **idle})
    of_sr = {name for name in gradients if name.startswith(ONLY_TRAINING)}
    assert {name for name, g in gradients.items() if g is None or not g.any()} >= of_sr
    assert gradients["segmentation_head.2.weight"].any()
    assert gradients["encoder.levels.levels.0.0.0.weight"].any()


@pytest.mark.parametrize("stop_gradient", [False, True])
def test_what_the_affinity_teaches(stop_gradient: bool) -> None:
    config = SMALL.model_copy(update={"stop_gradient": stop_gradient})
    gradients = learn(build_dsrl(config), config, {"affinity": 1.0})
    taught = {name.split(".")[0] for name, g in gradients.items() if g is not None and g.any()}
    both = {"encoder", "segmentation_decoder", "transform"}
    assert taught == (both if stop_gradient else both | {"sr_decoder"})


def test_detached_it_segments_the_same_to_the_bit(tmp_path: Path) -> None:
    module, image = small(), torch.rand(2, 4, 48, 32)
    card = Card(config=SMALL.model_dump(mode="json"), spec=spec(SMALL), training={"epoch": 3})
    detached, detached_card = detach(module, card)
    with torch.inference_mode():
        before, after = module(image), detached(image)
    assert set(after) == {"segmentation"}
    assert torch.equal(before["segmentation"], after["segmentation"])
    assert n_parameters(detached) == n_parameters(module) - sum(
        n_parameters(part) for part in (module.sr_decoder, module.sr_tail, module.transform)
    )
    left = set(detached.state_dict())
    assert left == {name for name in module.state_dict() if not name.startswith(ONLY_TRAINING)}

    config = DSRLConfig.model_validate(detached_card.config)
    assert config == SMALL.model_copy(update={"super_resolution": False})
    assert detached_card.spec == spec(config)
    assert detached_card.training == {"epoch": 3}
    save_checkpoint(tmp_path / "detached.safetensors", detached, detached_card)
    loaded = load_model(tmp_path / "detached.safetensors")
    with torch.inference_mode():
        assert torch.equal(loaded.module(image)["segmentation"], before["segmentation"])
    assert set(detached.train()(image)) == {"segmentation"}


def test_detaching_copies_and_can_be_repeated() -> None:
    module, image = small(), torch.rand(1, 4, 32, 32)
    card = Card(config=SMALL.model_dump(mode="json"), spec=spec(SMALL))
    once, once_card = detach(module, card)
    twice, twice_card = detach(once, once_card)
    with torch.inference_mode():
        before = once(image)["segmentation"]
        for parameter in module.parameters():
            parameter.zero_()
        assert torch.equal(once(image)["segmentation"], before)
        assert torch.equal(twice(image)["segmentation"], before)
    assert twice_card == once_card


def test_detached_the_loss_is_the_cross_entropy_alone() -> None:
    config = SMALL.model_copy(update={"super_resolution": False})
    assert [(t.name, t.weight) for t in dsrl_terms(config)] == [("segmentation", 1.0)]
    assert all(g is not None for g in learn(build_dsrl(config), config).values())


def test_detaching_the_reconstruction_of_urec_leaves_the_unet() -> None:
    config = URecConfig(width=2)
    torch.manual_seed(0)
    module = build_urec(config).eval()
    card = Card(config=config.model_dump(), spec=urec_spec(config, bands={}, classes=(), radiometry={}))
    unet, unet_card = detach(module, card)
    assert unet_card.spec.system == "unet"
    assert [h.name for h in unet_card.spec.heads] == ["segmentation"]
    image = torch.rand(1, 3, 64, 32)
    with torch.inference_mode():
        assert torch.equal(unet(image)["segmentation"], module(image)["segmentation"])
    with pytest.raises(
        ModelError, match="nothing can be detached from 'unet': only dsrl and urec can be reduced"
    ):
        detach(unet, unet_card)


class Pyramid(nn.Module):
    """An encoder of one's own: averages of the image, nothing else."""

    channels = (3, 3)
    reductions = (2, 4)

    def forward(self, image: Tensor) -> list[Tensor]:
        return [nn.functional.avg_pool2d(image, r) for r in self.reductions]


class Enlarged(nn.Module):
    """A decoder of one's own: the coarsest map, enlarged."""

    channels = 3

    def forward(self, maps: list[Tensor]) -> Tensor:
        return nn.functional.interpolate(maps[-1], scale_factor=4, mode="bilinear", align_corners=False)


def test_any_encoder_and_decoder_fit_that_keep_the_contract() -> None:
    encoder = Pyramid()
    segmentation = UNetDecoder(encoder.channels, encoder.reductions, width=6)
    module = DSRL(encoder, segmentation, Enlarged(), n_classes=4, scale=3).eval()
    alone = DSRL(encoder, segmentation, n_classes=4, scale=3).eval()
    alone.load_state_dict({k: v for k, v in module.state_dict().items() if not k.startswith(ONLY_TRAINING)})
    image = torch.rand(1, 3, 20, 8)
    with torch.inference_mode():
        outputs = module(image)
        assert torch.equal(alone(image)["segmentation"], outputs["segmentation"])
    assert outputs["segmentation"].shape == (1, 4, 60, 24)
    assert outputs["sr"].shape == (1, 3, 60, 24)
    features = module.train()(torch.rand(2, 3, 20, 8))
    assert features["segmentation_features"].shape == features["sr_features"].shape == (2, 3, 20, 8)


class TestTimm:
    config = DSRLConfig(width=4, in_channels=4, encoder="timm:resnet18")

    @pytest.fixture(autouse=True)
    def timm(self) -> None:
        declare_missing_operators()
        pytest.importorskip("timm", reason="the extra `timm` is not installed")

    def test_resnet18(self, tmp_path: Path) -> None:
        declared = spec(self.config)
        assert declared.divisor == 32
        module, image = small(self.config), torch.rand(1, 4, 64, 96)
        card = Card(config=self.config.model_dump(mode="json"), spec=declared)
        for path, (one, its_card) in {
            tmp_path / "whole.safetensors": (module, card),
            tmp_path / "detached.safetensors": detach(module, card),
        }.items():
            save_checkpoint(path, one, its_card)
            loaded = load_model(path)
            with torch.inference_mode():
                before, after = module(image), loaded.module(image)
            assert {h.name for h in loaded.spec.heads} == set(after)
            assert all(torch.equal(before[name], after[name]) for name in after)
            assert after["segmentation"].shape == (1, 6, 128, 192)

    def test_every_parameter_learns(self) -> None:
        module = build_dsrl(self.config)
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):  # timm begins with zero in the last one of a residual block
                nn.init.ones_(part.weight)
        gradients = learn(module, self.config)
        idle = {name for name, g in gradients.items() if g is None or not g.any()}
        assert all(name.endswith("bias") for name in idle), idle

    def test_it_can_be_exported(self) -> None:
        module, image = small(self.config), torch.rand(1, 4, 64, 32)
        exported = torch.export.export(module, (image,)).module()
        with torch.inference_mode():
            before, after = module(image), exported(image)
        assert all(torch.allclose(before[name], after[name], atol=1e-5) for name in before)

    def test_a_network_that_cannot_take_the_declared_sizes_is_refused(self) -> None:
        with pytest.raises(ModelError, match="'timm:maxvit_pico_rw_256' does not take 32×32 pixels"):
            spec(self.config.model_copy(update={"encoder": "timm:maxvit_pico_rw_256"}))

    def test_a_network_without_a_pyramid_is_refused(self) -> None:
        with pytest.raises(ModelError, match="ascending powers of two"):
            build_dsrl(self.config.model_copy(update={"encoder": "timm:mixer_b16_224"}))


@pytest.mark.parametrize(
    "encoder", ["resnet18", "timm:", "timm:hf_hub:someone/net", "timm:local-dir:/tmp", "timm:../x"]
)
def test_an_encoder_is_a_name_and_nothing_that_must_be_fetched(encoder: str) -> None:
    with pytest.raises(ValidationError, match="encoder"):
        DSRLConfig(encoder=encoder)
