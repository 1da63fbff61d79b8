"""The reference has every public name, command and key, and what it says of them is true."""

import builtins
import inspect
import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
import typer

import rsmtl
from docs.build import filled
from docs.docstrings import escaped
from docs.reference import cli, configuration, python
from docs.reference.fields import field_list, type_name
from rsmtl import errors
from rsmtl.cli import app
from rsmtl.training.config import TrainConfig, presets


def public() -> dict[str, Any]:
    """Every name of the Python page, and what it names."""
    names = [f"rsmtl.{name}" for name in (*python.FUNCTIONS, *python.MODELS, *python.SETTINGS)]
    names += [*python.SCENES, *python.TYPES, *python.errors()]
    names += [name for module in python.MODULES.values() for name in python.public(module)]
    found = {}
    for name in names:
        home, _, attribute = name.rpartition(".")
        found[name] = getattr(import_module(home), attribute)
    return found


PUBLIC = public()
FUNCTIONS = {name: found for name, found in PUBLIC.items() if inspect.isfunction(found)}


def test_every_public_name_is_shown() -> None:
    shown = "\n".join(python.parts().values())
    expected = {f"rsmtl.{name}" for name in rsmtl.__all__ if name != "__version__"}
    expected |= {f"rsmtl.dispatch.{name}" for name in import_module("rsmtl.dispatch").__all__}
    expected |= {f"rsmtl.errors.{name}" for name, one in vars(errors).items() if inspect.isclass(one)} - {
        "rsmtl.errors.ValidationError"
    }
    assert [name for name in sorted(expected) if f":: {name}\n" not in f"{shown}\n"] == []


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_public_name_has_a_docstring(name: str) -> None:
    found, (home, _, attribute) = PUBLIC[name], name.rpartition(".")
    own = inspect.isclass(found) or inspect.isfunction(found)
    said = found.__doc__ if own and found.__module__.startswith("rsmtl") else python.said_of(home, attribute)
    assert said


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_docstring_names_what_is_there(name: str) -> None:
    function: Callable[..., Any] = FUNCTIONS[name]
    parameters, described = list(inspect.signature(function).parameters), section(function, "Parameters")
    assert set(described) <= set(parameters)
    assert described == [one for one in parameters if one in described]  # in their order
    known = {*vars(builtins), *vars(errors)}
    assert {one for one in section(function, "Raises") if one not in known} == set()
    if len(parameters) > 4:
        assert described


def section(function: Callable[..., Any], title: str) -> list[str]:
    """Names that a section of a docstring explains."""
    lines = inspect.cleandoc(function.__doc__ or "").splitlines()
    if title not in lines:
        return []
    after = lines[lines.index(title) + 2 :]
    until = next((n - 1 for n, line in enumerate(after) if re.fullmatch("-{3,}", line)), len(after))
    named = [line for line in after[:until] if line and not line.startswith(" ")]
    return [name.strip(" *") for line in named for name in line.partition(":")[0].split(",")]


def test_every_command_and_option_is_shown() -> None:
    page, group = cli.parts()["cli"], typer.main.get_command(app)
    for name, command in group.commands.items():
        text = page.partition(f"## rsmtl {name}\n")[2].partition("\n## ")[0]
        options = [option for one in command.params for option in one.opts if option.startswith("--")]
        assert [option for option in options if f"`{option}" not in text and option != "--help"] == []


def test_every_key_of_a_training_is_shown() -> None:
    parts = configuration.parts()
    shown = re.findall(r"^`(\w+)`$", parts["train"], re.MULTILINE)
    assert shown == list(TrainConfig.model_fields)
    assert "`int`, more than 0, required.<br>\n  Patches in a step, on all ranks together." in parts["train"]
    assert re.findall(r"^### (\S+)$", parts["presets"], re.MULTILINE) == list(presets())
    assert "| `optimizer.lr` | `0.0001` |" in parts["presets"]


def test_types_are_written_as_one_would() -> None:
    hints = {name: field.annotation for name, field in rsmtl.Settings.model_fields.items()}
    assert type_name(hints["window"]) == "int | None"
    assert type_name(hints["blend"]) == '"linear" | "cosine"'
    assert type_name(hints["extras"]) == 'tuple["confidence" | "probabilities", ...]'
    assert "`overlap`\n: `int | None`, at least 0, default `None`.<br>" in field_list(rsmtl.Settings)


def test_page_and_parts_must_agree() -> None:
    assert filled("a <!-- generated: b -->", {"b": "c"}) == "a c"
    with pytest.raises(RuntimeError, match="the page asks for"):
        filled("a", {"b": "c"})


def test_marks_in_docstrings_are_escaped_but_in_code() -> None:
    assert escaped("|S − S'| of `a|b` and *c*, d_ e_f") == "\\|S − S'\\| of `a|b` and \\*c\\*, d\\_ e_f"
