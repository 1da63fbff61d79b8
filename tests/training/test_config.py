from pathlib import Path

import pytest

from rsmtl.errors import InputError
from rsmtl.models import find_system, system_config
from rsmtl.training import presets, read_config

GOOD = """
system: urec
data: {name: dubai}
loss: {segmentation: 0.9, reconstruction: 0.1}
epochs: 1
batch: 2
optimizer: {lr: 1.0e-3}
"""


def test_there_are_presets():
    assert {"urec-dubai", "urec-landscape"} <= set(presets())


@pytest.mark.parametrize("name", presets())
def test_presets_are_valid(name: str):
    config = read_config(name)
    system_config(find_system(config.system), config.model)


def test_unknown_name_lists_the_presets():
    with pytest.raises(
        InputError,
        match=r"no training configuration 'urec': give the path .* urec-dubai, urec-dubai-begin, urec-land",
    ):
        read_config("urec")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (GOOD.replace("1.0e-3", "-1"), "is wrong: optimizer.lr: expected more than 0"),
        (GOOD + "momentum: 0.9\n", "is wrong: momentum: there is no such setting"),
        (GOOD.replace("dubai", "paris"), "is wrong: data: .*'dubai', 'kampala', 'landscape'"),
        (GOOD.replace("system: urec\n", ""), "is wrong: system: is missing"),
        ("system: [urec\n", "cannot read .* as YAML"),
        ("system: urec\nseed: " + "9" * 5000 + "\n", "cannot read .* as YAML: Exceeds the limit"),
        ("[" * 3000, "cannot read .* as YAML"),
        (
            GOOD.replace("1.0e-3", "1.0e-3, betas: [2, 3]"),
            r"optimizer\.betas\.0: expected less than 1",
        ),
        (GOOD.replace("1.0e-3", ".inf"), r"optimizer\.lr: expected a finite number"),
        ("just words", "is wrong: value: expected names with values"),
        ("", "is wrong: value: expected names with values"),
    ],
)
def test_errors_are_sentences(tmp_path: Path, text: str, sentence: str):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=sentence) as caught:
        read_config(path)
    assert "\n" not in str(caught.value)


def test_a_good_file(tmp_path: Path):
    path = tmp_path / "config.yaml"
    path.write_text(GOOD)
    config = read_config(path)
    assert config.loss == {"segmentation": 0.9, "reconstruction": 0.1}
    assert config.optimizer.schedule == "constant"


def test_a_name_that_no_file_can_have():
    with pytest.raises(InputError, match="there is no training configuration 'aaaa"):
        read_config("a" * 300)
