"""Settings from a command's options."""

import pytest

from rsmtl.cli.options import with_settings
from rsmtl.config import Settings
from rsmtl.errors import InputError

DEFAULTS = {name: field.default for name, field in Settings.model_fields.items()} | {"extras": None}


@with_settings
def window_of(settings: Settings, twice: bool = False) -> int:
    return settings.window * (2 if twice else 1)


@with_settings
def n_extras_of(settings: Settings) -> int:
    return len(settings.extras)


def test_a_command_gets_its_settings_whole() -> None:
    assert window_of(**DEFAULTS) == 512
    assert window_of(**DEFAULTS | {"window": 64}, twice=True) == 128


def test_lists_have_commas() -> None:
    assert n_extras_of(**DEFAULTS) == 0
    assert n_extras_of(**DEFAULTS | {"extras": "confidence,probabilities"}) == 2


def test_a_wrong_value_is_one_sentence() -> None:
    with pytest.raises(
        InputError, match=r"^the settings are wrong: batch: Input should be greater than 0 \(got '0'\)"
    ):
        window_of(**DEFAULTS | {"batch": 0})
