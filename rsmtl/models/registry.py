"""The systems by name: how to configure, build and declare each. A new one is a file, and an entry here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from torch import nn

from rsmtl.errors import ModelError, explain
from rsmtl.losses import Term
from rsmtl.models import dbpn, dsrl, fusenet, pannet, panseg, segnet, srseg, urec
from rsmtl.models.spec import ModelSpec


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
        System(
            "panseg",
            "PAN and MS to a segmentation and HRMS, jointly (IGARSS 2019)",
            panseg.PanSegConfig,
            panseg.build_panseg,
            panseg.panseg_spec,
            panseg.panseg_terms,
        ),
        System(
            "urec",
            "U-REC: segmentation and reconstruction by a partly shared decoder (IGARSS 2019)",
            urec.URecConfig,
            urec.build_urec,
            urec.urec_spec,
            urec.urec_terms,
        ),
        System(
            "dsrl",
            "segmentation with a super-resolution half that is detached after training (LPI 2021, CVPR 2020)",
            dsrl.DSRLConfig,
            dsrl.build_dsrl,
            dsrl.dsrl_spec,
            dsrl.dsrl_terms,
        ),
        System(
            "srseg",
            "D-DBPN and SegNet end to end: super-resolution and its segmentation (2020)",
            srseg.SrSegConfig,
            srseg.build_srseg,
            srseg.srseg_spec,
            srseg.srseg_terms,
        ),
        System(
            "unet",
            "plain U-Net: the baseline of U-REC",
            urec.UNetConfig,
            urec.build_unet,
            urec.unet_spec,
            urec.unet_terms,
        ),
        System(
            "fusenet",
            "FuseNet: a segmentation of PAN and MS, a baseline of panseg",
            fusenet.FuseNetConfig,
            fusenet.build_fusenet,
            fusenet.fusenet_spec,
            fusenet.fusenet_terms,
        ),
        System(
            "pannet",
            "PanNet: pansharpening, a baseline of panseg (ICCV 2017)",
            pannet.PanNetConfig,
            pannet.build_pannet,
            pannet.pannet_spec,
            pannet.pannet_terms,
        ),
        System(
            "segnet",
            "SegNet: segmentation of native or upsampled images, a baseline of srseg (TPAMI 2017)",
            segnet.SegNetConfig,
            segnet.build_segnet,
            segnet.segnet_spec,
            segnet.segnet_terms,
        ),
        System(
            "dbpn",
            "D-DBPN: super-resolution, a half of srseg (CVPR 2018)",
            dbpn.DbpnConfig,
            dbpn.build_dbpn,
            dbpn.dbpn_spec,
            dbpn.dbpn_terms,
        ),
    )
}
"""Every system that can be built, by name: the published ones and their baselines."""


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
