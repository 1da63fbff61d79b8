"""Every system of the registry passes the suite."""

from rsmtl.models import SYSTEMS
from tests.models.suite import SystemSuite


class TestUNet(SystemSuite):
    system = "unet"
    small = {"width": 4, "n_classes": 5, "in_channels": 4}


class TestURec(SystemSuite):
    system = "urec"
    small = {"width": 4, "n_classes": 5, "in_channels": 4}


class TestURecWithTwoDecoders(SystemSuite):
    system = "urec"
    small = {"width": 4, "share_decoder": False}


def test_every_system_is_tested() -> None:
    assert {suite.system for suite in SystemSuite.__subclasses__()} == set(SYSTEMS)
