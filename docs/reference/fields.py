"""Fields of pydantic models and dataclasses as Markdown: name, type, default, and the docstring below the field."""

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen, MultipleOf
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from sphinx.pycode import ModuleAnalyzer

_LIMITS: Mapping[type, tuple[str, str]] = {
    Gt: ("gt", "more than {}"),
    Ge: ("ge", "at least {}"),
    Lt: ("lt", "less than {}"),
    Le: ("le", "at most {}"),
    MinLen: ("min_length", "{} or more of them"),
    MaxLen: ("max_length", "{} at most"),
    MultipleOf: ("multiple_of", "a multiple of {}"),
}
"""Kinds of bounds that pydantic knows: the attribute that holds the bound, and how it is said."""

REQUIRED = object()


def field_list(owner: Any) -> str:
    """Return a definition list of all fields of a pydantic model or a dataclass."""
    return "\n".join(_entry(owner, name, *found) for name, found in _fields(owner).items())


def meaning(owner: Any, name: str) -> str:
    """Return the docstring below a field, of whichever class of the family has it; empty if none has."""
    for home in owner.__mro__:
        if home.__module__.startswith(("rsmtl", "flows")):
            documented = ModuleAnalyzer.for_module(home.__module__).find_attr_docs()
            if lines := documented.get((home.__name__, name)):
                return "\n".join(lines).strip()
    return ""


def _entry(owner: Any, name: str, annotation: Any, default: Any, bounds: list[Any]) -> str:
    said = [f"`{type_name(annotation)}`", *_bounds(annotation), *(_bound(one) for one in bounds)]
    said.append("required" if default is REQUIRED else f"default `{_value(default)}`")
    text = meaning(owner, name).replace("\n", "\n  ")
    return f"`{name}`\n: {', '.join(said)}.{f'<br>{chr(10)}  {text}' if text else ''}\n"


def _fields(owner: Any) -> dict[str, tuple[Any, Any, list[Any]]]:
    """Return annotation, default and bounds by name."""
    if issubclass(owner, BaseModel):
        return {
            name: (field.annotation, _default(field.get_default(call_default_factory=True)), field.metadata)
            for name, field in owner.model_fields.items()
        }
    hints = typing.get_type_hints(owner, include_extras=True)
    return {
        field.name: (hints[field.name], _default(field.default), []) for field in dataclasses.fields(owner)
    }


def _default(value: Any) -> Any:
    return REQUIRED if value is PydanticUndefined or value is dataclasses.MISSING else value


def type_name(annotation: Any) -> str:
    """Return a type as one would write it, without the modules of its parts and without bounds."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return type_name(parts[0])
    if origin is Literal:
        return " | ".join(repr(part).replace("'", '"') for part in parts)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(type_name(part) for part in parts)
    if annotation is Ellipsis:
        return "..."
    if origin is not None:
        return f"{origin.__name__}[{', '.join(type_name(part) for part in parts)}]"
    return "None" if annotation is types.NoneType else getattr(annotation, "__name__", str(annotation))


def _bounds(annotation: Any) -> Iterator[str]:
    if typing.get_origin(annotation) is typing.Annotated:
        for one in typing.get_args(annotation)[1:]:
            yield from (_bound(part) for part in getattr(one, "metadata", [one]) if type(part) in _LIMITS)


def _bound(bound: Any) -> str:
    if type(bound) not in _LIMITS:
        pattern = getattr(bound, "pattern", None)
        return f"`{pattern}`" if pattern else "checked"
    attribute, sentence = _LIMITS[type(bound)]
    return sentence.format(f"{getattr(bound, attribute):,}")


def _value(value: Any) -> str:
    if isinstance(value, BaseModel):
        return f"{type(value).__name__}()"
    return f'"{value}"' if isinstance(value, str | Path) else str(value)
