"""Sums of named terms: the published totals, and what cannot be judged."""

import math

import pytest
import torch

from rsmtl.errors import InputError
from rsmtl.losses import Term, cross_entropy, loss_terms, mean_absolute
from rsmtl.models import find_system, system_config

UREC = (
    Term("segmentation", cross_entropy, "segmentation", "segmentation", 0.9),
    Term("reconstruction", mean_absolute, "reconstruction", "image", 0.1),
)


def published(system: str) -> dict[str, float]:
    found = find_system(system)
    return {term.name: term.weight for term in found.terms(system_config(found, {}))}


def test_urec_of_uniform_logits_and_half_off() -> None:
    outputs = {"segmentation": torch.zeros(2, 6, 8, 8), "reconstruction": torch.full((2, 3, 8, 8), 0.5)}
    batch = {"segmentation": torch.randint(0, 6, (2, 8, 8)), "image": torch.zeros(2, 3, 8, 8)}
    terms = loss_terms(UREC, outputs, batch)
    assert terms["reconstruction"].item() == pytest.approx(0.05)
    assert terms["segmentation"].item() == pytest.approx(0.9 * math.log(6))
    assert sum(terms.values()).item() == pytest.approx(1.6625835, abs=1e-6)


def test_published_weights() -> None:
    assert published("urec") == {"segmentation": 0.9, "reconstruction": 0.1}
    assert published("unet") == {"segmentation": 1.0}
    assert published("panseg") == {"segmentation": 0.2, "hrms": 0.8}
    assert published("dsrl") == {"segmentation": 1.0, "sr": 0.1, "affinity": 1.0}
    assert published("srseg") == {"segmentation": 1000.0, "sr": 0.1}


def two_classes(error: float) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Cross-entropy ln 2, and super-resolution off by `error` everywhere."""
    outputs = {"segmentation": torch.zeros(1, 2, 16, 16), "sr": torch.full((1, 3, 16, 16), error)}
    batch = {"segmentation": torch.zeros(1, 16, 16, dtype=torch.int64), "sr": torch.zeros(1, 3, 16, 16)}
    return outputs, batch


def test_three_objectives() -> None:
    """ln 2, MSE 0.04 and an affinity of 0.5: 1.1971472 with the weights of DSRL, 1.2331472 as a plain sum."""
    outputs, batch = two_classes(0.2)
    outputs["segmentation_features"] = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).reshape(1, 2, 1, 2)
    outputs["sr_features"] = torch.tensor([[1.0, 1.0], [0.0, 0.0]]).reshape(1, 2, 1, 2)
    system = find_system("dsrl")
    terms = system.terms(system_config(system, {}))
    assert sum(loss_terms(terms, outputs, batch).values()).item() == pytest.approx(1.1971472, abs=1e-6)
    plain = {"segmentation": 1.0, "sr": 1.0, "affinity": 1.0}
    assert sum(loss_terms(terms, outputs, batch, plain).values()).item() == pytest.approx(1.2331472, abs=1e-6)


def test_end_to_end() -> None:
    """α = 0.1 and β = 1000 on a mean absolute error of 0.02 and a cross-entropy of 0.5: 500.002."""
    outputs, batch = two_classes(0.02)
    outputs["segmentation"][:, 1] = math.log(math.exp(0.5) - 1)
    system = find_system("srseg")
    terms = loss_terms(system.terms(system_config(system, {})), outputs, batch)
    assert sum(terms.values()).item() == pytest.approx(500.002, abs=1e-3)


def test_only_named_terms_are_judged() -> None:
    outputs, batch = two_classes(0.2)
    terms = find_system("srseg").terms(system_config(find_system("srseg"), {}))
    assert list(loss_terms(terms, outputs, batch, {"sr": 2.0})) == ["sr"]


def test_an_unknown_term_is_refused() -> None:
    with pytest.raises(InputError, match="no loss term 'sr' for this model: use one of segmentation, recon"):
        loss_terms(UREC, {"segmentation": torch.zeros(1, 2, 4, 4)}, {}, {"sr": 1.0})


def test_a_missing_output_or_target_is_named() -> None:
    with pytest.raises(InputError, match="'reconstruction' judges 'reconstruction', but the model gave seg"):
        loss_terms(UREC, {"segmentation": torch.zeros(1, 2, 4, 4)}, {}, {"reconstruction": 1.0})
    with pytest.raises(
        InputError, match="'segmentation' needs the target 'segmentation', but the data have image"
    ):
        loss_terms(
            UREC, {"segmentation": torch.zeros(1, 2, 4, 4)}, {"image": torch.zeros(1)}, {"segmentation": 1}
        )
