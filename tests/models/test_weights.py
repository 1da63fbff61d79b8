"""The models that come with the package, on the data that they were scored on."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from rsmtl.datasets import load_splits
from rsmtl.datasets.dubai import DubaiData
from rsmtl.datasets.kampala import KampalaData
from rsmtl.datasets.reduced import low_resolution
from rsmtl.losses.quality import universal_quality
from rsmtl.models import detach, find_system, load_model, read_card, shipped_models, system_config
from rsmtl.models.checkpoint import locate
from rsmtl.synthetic import Landscape
from rsmtl.training import TrainConfig, evaluate_checkpoint
from rsmtl.training.group import group_of_one
from rsmtl.training.train import validation_of

KAMPALA = ("dsrl-kampala", "srseg-kampala")
MAX_BYTES = 4_000_000


@pytest.mark.parametrize("name", shipped_models())
def test_weights_are_small_and_have_a_page(name: str) -> None:
    path = locate(name)
    assert path.stat().st_size <= MAX_BYTES
    assert path.with_suffix(".md").read_text().startswith(f"# {name}\n")


@pytest.mark.real
def test_urec_dubai_finds_what_its_card_says(real_data: Path) -> None:
    """On one image of a test tile, whose score is part of none that is written down: above what it had at first."""
    model, card = load_model("urec-dubai"), read_card("urec-dubai")
    config = TrainConfig.model_validate(card.training["config"])
    splits = load_splits(DubaiData(), real_data)
    image = next(scene for scene in splits.test if scene.name == "tile4/image_part_006")
    found = validation_of(config, card.spec, splits).scores(
        model.module, (image,), group_of_one(torch.device("cpu"))
    )
    assert found["segmentation"]["mean_iou"] > 0.35
    assert card.training["test"]["segmentation"]["mean_iou"] > 0.467
    assert "unlabeled" not in card.training["test"]["segmentation"]["iou"]


def test_panseg_landscape_sharpens_and_segments() -> None:
    """A landscape that it has not seen: HRMS has more of the truth's structure than MS interpolated."""
    model = load_model("panseg-landscape")
    size = slice(0, 256)
    landscape = Landscape(seed=3_000_100, height_px=256, width_px=256).render(size, size)
    pan, ms, truth = (
        torch.from_numpy(values.astype("float32"))[None] / 2047
        for values in (landscape.pan, landscape.ms[:3], landscape.hrms[:3])
    )
    with torch.inference_mode():
        found = model.module(pan, ms)
    interpolated = F.interpolate(ms, scale_factor=4, mode="bicubic", align_corners=False)
    assert universal_quality(found["hrms"], truth) > universal_quality(interpolated, truth) + 0.1
    right = found["segmentation"].argmax(dim=1)[0].numpy() == landscape.classes
    assert right.mean() > 0.6


@pytest.mark.real
@pytest.mark.parametrize("name", KAMPALA)
def test_the_card_has_the_scores(name: str, real_data: Path) -> None:
    """To within what another processor's bfloat16 may change."""
    written, found = read_card(name).training, evaluate_checkpoint(locate(name), real_data)
    for split in ("validation", "test"):
        for score in ("mean_iou", "overall_accuracy"):
            expected = written[split]["segmentation"][score]
            assert found[split]["segmentation"][score] == pytest.approx(expected, abs=0.005)
        assert found[split]["sr"]["psnr_db"] == pytest.approx(written[split]["sr"]["psnr_db"], abs=0.05)


@pytest.mark.real
def test_super_resolution_is_better_than_interpolation(real_data: Path) -> None:
    squared_error, n = 0.0, 0
    for scene in load_splits(KampalaData(), real_data).test:
        height, width = scene.shape
        truth = scene.read(slice(0, height), slice(0, width))["image"]
        image = low_resolution(truth, 2)[None]
        estimate = F.interpolate(image, scale_factor=2, mode="bicubic", align_corners=False)[0]
        squared_error, n = squared_error + float((estimate - truth).square().sum()), n + truth.numel()
    interpolated_db = float(-10 * torch.log10(torch.tensor(squared_error / n)))
    assert read_card("srseg-kampala").training["test"]["sr"]["psnr_db"] > interpolated_db + 0.1


@pytest.mark.parametrize("name", shipped_models())
def test_the_card_says_what_system_and_data_say(name: str) -> None:
    """Which heads are products, and the GSD: for super-resolution that of the input, which is the coarser one."""
    card = read_card(name)
    config = TrainConfig.model_validate(card.training["config"])
    about, system = config.data.about(), find_system(card.spec.system)
    made = system.make_spec(
        system_config(system, card.config),
        bands=about.bands,
        classes=about.classes,
        radiometry=about.radiometry,
    )
    products = {head.name: head.product for head in made.heads}
    assert {head.name: head.product for head in card.spec.heads} == products
    assert card.spec.gsd_m == about.gsd_m * float(max(head.scale for head in made.heads))


def test_what_was_detached_has_the_same_bits() -> None:
    model = load_model("dsrl-kampala")
    module, card = detach(model.module, read_card("dsrl-kampala"))
    image = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        assert torch.equal(module(image)["segmentation"], model.module(image)["segmentation"])
    assert [head.name for head in card.spec.heads] == ["segmentation"]
