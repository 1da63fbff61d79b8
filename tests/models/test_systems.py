"""Every system of the registry passes the suite, and the published ones run at their published width."""

import pytest
import torch

from rsmtl.losses import loss_terms
from rsmtl.models import SYSTEMS, find_system, system_config
from tests.models.suite import SystemSuite


class TestUNet(SystemSuite):
    system = "unet"
    small = {"width": 4, "n_classes": 5, "in_channels": 4}


class TestURec(SystemSuite):
    published = True
    system = "urec"
    small = {"width": 4, "n_classes": 5, "in_channels": 4}


class TestURecWithTwoDecoders(SystemSuite):
    system = "urec"
    small = {"width": 4, "share_decoder": False}


class TestPanSeg(SystemSuite):
    published = True
    system = "panseg"
    small = {"width": 4, "ms_channels": 4, "hrms_channels": 4}
    bands = {"ms": ("blue", "green", "red", "nir")}


class TestPanSegOfTheFigure(SystemSuite):
    system = "panseg"
    small = {"width": 4, "layout": "figure", "n_classes": 5}


class TestPanSegOfRatio2(SystemSuite):
    system = "panseg"
    small = {"width": 4, "ratio": 2, "tasks": ("hrms",)}


class TestFuseNet(SystemSuite):
    system = "fusenet"
    small = {"width": 4}


class TestFuseNetWithoutSkips(SystemSuite):
    system = "fusenet"
    small = {"width": 4, "skips": False, "n_classes": 3}


class TestPanNet(SystemSuite):
    system = "pannet"
    small = {"width": 4}


class TestPanNetBicubic(SystemSuite):
    system = "pannet"
    small = {"width": 4, "upsampling": "bicubic"}


class TestDSRL(SystemSuite):
    published = True
    system = "dsrl"
    small = {"width": 4, "scale": 2}


class TestDetachedDSRL(SystemSuite):
    system = "dsrl"
    small = {"width": 4, "scale": 3, "super_resolution": False}


class TestDbpn(SystemSuite):
    system = "dbpn"
    any_size = True
    small = {"width": 4, "features": 8, "n_stages": 3, "scale": 8}


class TestSegNet(SystemSuite):
    system = "segnet"
    any_size = True
    small = {"width": 4}


class TestSegNetOnLowResolution(SystemSuite):
    system = "segnet"
    any_size = True
    small = {"width": 4, "upsample": 4, "rectified_scores": True}


class TestSrSeg(SystemSuite):
    published = True
    system = "srseg"
    small = {"features": 8, "sr_width": 4, "n_stages": 3, "width": 4, "scale": 4}


class TestSrSegTwice(SystemSuite):
    system = "srseg"
    small = {"features": 8, "sr_width": 4, "n_stages": 2, "width": 4, "scale": 2, "n_classes": 3}


def test_every_system_is_tested() -> None:
    assert {suite.system for suite in SystemSuite.__subclasses__()} == set(SYSTEMS)


@pytest.mark.parametrize(
    ("name", "edge"),
    [("panseg", 256), ("urec", 256), ("dsrl", 128), ("srseg", 24), ("unet", 128), ("segnet", 96)],
)
def test_published_width_learns_in_one_step(name: str, edge: int) -> None:
    """A forward and a backward pass of the published loss at the published width."""
    torch.manual_seed(0)
    system = find_system(name)
    config = system_config(system, {})
    spec = system.make_spec(config, bands={}, classes=(), radiometry={})
    batch = {i.name: torch.rand(2, i.channels, int(edge * i.scale), int(edge * i.scale)) for i in spec.inputs}
    for head in spec.heads:
        size = int(edge * head.scale)
        labels = torch.randint(head.n_classes, (2, size, size)) if head.kind == "classes" else None
        batch[head.name] = torch.rand(2, head.channels, size, size) if labels is None else labels
    module = system.build(config).train()
    outputs = module(*(batch[i.name] for i in spec.inputs))
    total = torch.stack(list(loss_terms(system.terms(config), outputs, batch).values())).sum()
    total.backward()
    assert total.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())
