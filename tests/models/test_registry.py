import pytest
from pydantic import ValidationError

from rsmtl.errors import ModelError
from rsmtl.models import SYSTEMS, find_system, system_config


def test_unknown_system_lists_the_valid_names():
    with pytest.raises(
        ModelError, match=f"there is no system 'resnet': use one of {', '.join(sorted(SYSTEMS))}"
    ):
        find_system("resnet")


def test_wrong_configuration_is_one_sentence():
    with pytest.raises(
        ModelError, match=r"the configuration of 'urec' is wrong: width: expected more than 0, got '-1'"
    ):
        system_config(find_system("urec"), {"width": -1})
    with pytest.raises(ModelError, match="'unet' is wrong: share_decoder: there is no such setting"):
        system_config(find_system("unet"), {"share_decoder": False})


def test_configurations_are_frozen():
    config = system_config(find_system("urec"), {})
    with pytest.raises(ValidationError):
        config.width = 3  # type: ignore[attr-defined]
