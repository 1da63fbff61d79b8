"""Shells complete commands, options and the names that come with rsmtl, and do not wait for what is heavy."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from rsmtl.cli import completion
from rsmtl.datasets import DataConfig
from rsmtl.engine.classical import METHODS
from rsmtl.models import shipped_models
from rsmtl.training import presets
from tests.cli.test_command_line import HEAVY

BIN = Path(sys.executable).parent
PROTOCOLS = {
    "bash": {"COMP_WORDS": "rsmtl doctor --model urec", "COMP_CWORD": "3"},
    "zsh": {"_TYPER_COMPLETE_ARGS": "rsmtl doctor --model urec"},
    "fish": {"_TYPER_COMPLETE_ARGS": "rsmtl doctor --model urec", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
}


def test_the_names_are_those_that_there_are() -> None:
    assert completion.model_names("") == sorted({*shipped_models(), *METHODS})
    assert completion.preset_names("") == sorted(presets())
    (union, *_) = get_args(DataConfig)
    known = {kind.model_fields["name"].default for kind in get_args(union)}
    assert {*completion.DATA_SETS, "scenes"} == known
    assert completion.data_set_names("du") == ["dubai"]


@pytest.mark.parametrize("shell", PROTOCOLS)
def test_a_shell_is_answered_without_what_is_heavy(shell: str) -> None:
    code = (
        "import sys; from rsmtl.cli import main\n"
        "try: main()\n"
        f"finally: print('heavy:', *(name for name in {HEAVY} if name in sys.modules))"
    )
    asked = {"_RSMTL_COMPLETE": f"complete_{shell}", **PROTOCOLS[shell]}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | asked, capture_output=True, text=True, timeout=60
    )
    *found, heavy = done.stdout.splitlines()
    shipped = shipped_models()
    assert [name for name in shipped if name in " ".join(found)] == [
        n for n in shipped if n.startswith("urec")
    ]
    assert "lmvm" not in "".join(found)
    assert (heavy, done.stderr) == ("heavy:", "")


@pytest.mark.parametrize(
    ("shell", "code"),
    [
        (
            "bash",
            'eval "$(rsmtl --show-completion)"; COMP_WORDS=(rsmtl ver); COMP_CWORD=1; _rsmtl_completion rsmtl; '
            'echo "${COMPREPLY[@]}"',
        ),
        ("fish", 'rsmtl --show-completion | source; complete -C "rsmtl ver"'),
    ],
)
def test_a_real_shell(shell: str, code: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    path = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [shell, "-c", code], env=os.environ | path, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split()[0] == "verify"
