"""The systems by name: how to configure, build and declare each. A new one is a file, and an entry here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from torch import nn

from rsmtl.errors import ModelError, explain
from rsmtl.losses import Term
from rsmtl.models.spec import ModelSpec
from rsmtl.models.urec import (
    UNetConfig,
    URecConfig,
    build_unet,
    build_urec,
    unet_spec,
    unet_terms,
    urec_spec,
    urec_terms,
)


@dataclass(frozen=True)
class System:
    """One system of the registry."""

    name: str
    summary: str
    config: type[BaseModel]
    """Frozen pydantic class of its sizes."""
    build: Callable[[Any], nn.Module]
    """From a `config` to a module with fresh weights."""
    make_spec: Callable[..., ModelSpec]
    """From a `config`, and what only the data know (`bands` and `radiometry` by input, `classes`), to its spec."""
    terms: Callable[[Any], tuple[Term, ...]]
    """From a `config` to what its published loss is made of."""


SYSTEMS: dict[str, System] = {
    system.name: system
    for system in (
        System("unet", "plain U-Net: segmentation", UNetConfig, build_unet, unet_spec, unet_terms),
        System(
            "urec",
            "U-REC: segmentation and reconstruction by a partly shared decoder (IGARSS 2019)",
            URecConfig,
            build_urec,
            urec_spec,
            urec_terms,
        ),
    )
}


def find_system(name: str) -> System:
    """Return the system called `name`.

    Raises
    ------
    ModelError
        If there is none; the message lists those there are.
    """
    if name not in SYSTEMS:
        raise ModelError(f"there is no system {name!r}: use one of {', '.join(sorted(SYSTEMS))}")
    return SYSTEMS[name]


def system_config(system: System, values: Mapping[str, Any]) -> BaseModel:
    """Return the checked configuration of a system.

    Raises
    ------
    ModelError
        If a value is wrong or unknown.
    """
    try:
        return system.config.model_validate(dict(values))
    except ValidationError as error:
        raise ModelError(f"the configuration of {system.name!r} is wrong: {explain(error)}") from error
