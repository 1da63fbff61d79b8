"""The model without what only its training needs, its segmentation the same to the bit."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from rsmtl.errors import ModelError
from rsmtl.models.checkpoint import Card
from rsmtl.models.dsrl import DSRLConfig
from rsmtl.models.registry import find_system, system_config
from rsmtl.models.urec import UNetConfig, URecConfig


def detach(module: nn.Module, card: Card) -> tuple[nn.Module, Card]:
    """Return a model that has the segmentation head alone.

    `dsrl` loses its super-resolution path and the feature transform, as published; `urec` its reconstruction path,
    which leaves the plain U-Net (`unet`). `save_checkpoint(path, *detach(module, card))` writes a file that has no
    trace of them.

    Parameters
    ----------
    module
        Built by the system that `card.spec.system` names; left as it is.
    card
        Of its checkpoint.

    Returns
    -------
    module, card
        A copy of the weights that the segmentation uses, in evaluation mode, and what it is now. The training on the
        card is that of the whole model.

    Raises
    ------
    ModelError
        If the system has no such path.
    """
    if card.spec.system not in _DETACHED:
        raise ModelError(
            f"nothing can be detached from {card.spec.system!r}: only {' and '.join(sorted(_DETACHED))} can be "
            "reduced to their segmentation"
        )
    config = system_config(find_system(card.spec.system), card.config)
    name, detached_config = _DETACHED[card.spec.system](config)
    with torch.random.fork_rng(devices=[]):  # fresh weights must not advance the caller's random numbers
        detached = find_system(name).build(detached_config)
    wanted = detached.state_dict()
    detached.load_state_dict({key: tensor for key, tensor in module.state_dict().items() if key in wanted})
    spec = card.spec.model_copy(update={"system": name, "heads": (card.spec.head("segmentation"),)})
    config_values = detached_config.model_dump(mode="json")
    return detached.eval(), card.model_copy(update={"config": config_values, "spec": spec})


def _dsrl(config: DSRLConfig) -> tuple[str, DSRLConfig]:
    return "dsrl", config.model_copy(update={"super_resolution": False})


def _urec(config: URecConfig) -> tuple[str, UNetConfig]:
    return "unet", UNetConfig.model_validate(config.model_dump(include=set(UNetConfig.model_fields)))


_DETACHED: Mapping[str, Callable[[Any], tuple[str, DSRLConfig | UNetConfig]]] = {"dsrl": _dsrl, "urec": _urec}
"""By system, from its configuration to the system and the configuration of what is left."""
