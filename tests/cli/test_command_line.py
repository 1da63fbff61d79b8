"""What all commands share: help, version, quick start, usage errors, quiet."""

import logging
import subprocess
import sys
import warnings

import pytest

from rsmtl import __version__
from rsmtl.cli import COMMANDS
from rsmtl.cli.quiet import quiet
from rsmtl.config import Settings
from tests.cli.conftest import Call, spawn

HEAVY = ("torch", "dask", "distributed", "rasterio", "xarray", "zarr", "numpy", "matplotlib", "pystac")


def test_the_version(call: Call) -> None:
    assert call("--version").out == f"rsmtl {__version__}\n"


def test_no_words_show_the_commands(call: Call) -> None:
    shown = call()
    assert shown.status == 0
    for command in COMMANDS:
        assert command.__name__ in shown.out


def test_an_unknown_command(call: Call) -> None:
    ended = call("dissolve")
    assert (ended.status, ended.err) == (2, "No such command 'dissolve'; see rsmtl --help\n")


def test_help_does_not_wait_for_what_is_heavy() -> None:
    code = (
        "import sys; from rsmtl.cli import main; main(['predict', '--help']);"
        f"sys.exit(' '.join(name for name in {HEAVY} if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0


@pytest.mark.parametrize("command", ["predict", "plan"])
def test_every_setting_has_an_option_with_its_default_and_its_docstring(
    call: Call, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    shown = call(command, "--help").out
    for name, field in Settings.model_fields.items():
        line = next(line for line in shown.splitlines() if f"--{name.replace('_', '-')} " in line)
        assert field.description is not None
        assert field.description.split("\n")[0] in line
        if field.default not in (None, (), False):  # what is off can only be turned on
            assert f"[default: {field.default}]" in line


def test_the_program_as_a_process() -> None:
    ended = spawn("models", "--json")
    assert (ended.status, ended.json["command"]) == (0, "models")
    ended = spawn("models", "--jsno")
    assert (ended.status, len(ended.err.splitlines())) == (2, 1)


def test_what_libraries_say_to_themselves_is_not_heard(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet():
        logging.getLogger("some.library").critical("something happened")
        warnings.warn("something is deprecated", DeprecationWarning, stacklevel=1)
    assert capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == logging.NOTSET
