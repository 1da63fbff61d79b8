import pytest
from pydantic import ValidationError

from rsmtl.errors import ModelError
from rsmtl.models import SYSTEMS, ClassSpec, find_system, system_config
from rsmtl.radiometry import Radiometry

CLASSES = tuple(ClassSpec(name=name, color=(i, i, i)) for i, name in enumerate("abcd"))


def test_unknown_system_lists_the_valid_names():
    with pytest.raises(ModelError, match="there is no system 'segnet': use one of unet, urec"):
        find_system("segnet")


@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_spec_declares_what_the_module_does(name: str):
    import torch

    system = find_system(name)
    config = system_config(system, {"width": 2, "n_classes": 4, "in_channels": 5})
    spec = system.make_spec(config, bands=tuple("rgbni"), classes=CLASSES, radiometry=Radiometry())
    assert spec.system == name
    images = [torch.rand(1, i.channels, 2 * spec.divisor, spec.divisor) for i in spec.inputs]
    outputs = system.build(config).eval()(*images)
    assert {h.name: h.channels for h in spec.heads} == {head: t.shape[1] for head, t in outputs.items()}
    assert all(t.shape[2:] == images[0].shape[2:] for t in outputs.values())
    assert spec.head("segmentation").classes == CLASSES


def test_wrong_configuration_is_one_sentence():
    with pytest.raises(
        ModelError, match=r"the configuration of 'urec' is wrong: width: .*greater than 0.*'-1'"
    ):
        system_config(find_system("urec"), {"width": -1})
    with pytest.raises(ModelError, match="the configuration of 'unet' is wrong: share_decoder: Extra inputs"):
        system_config(find_system("unet"), {"share_decoder": False})


def test_configurations_are_frozen():
    config = system_config(find_system("urec"), {})
    with pytest.raises(ValidationError):
        config.width = 3  # type: ignore[attr-defined]
