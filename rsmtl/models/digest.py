"""A digest of what a module does, so that a product made by another one is never taken for its own.

Weights alone do not tell: code, plain attributes, buffers that are not saved, closures and globals that the code
refers to decide what comes out as well. Bytes of a pickle tell too much: they differ for the same code that is run
twice. So what is reached from the module is walked, and what cannot be told is `Untellable`.
"""

import dis
import enum
import functools
import hashlib
import io
import re
import sys
import sysconfig
import types
from collections.abc import Iterator, Mapping
from importlib.util import resolve_name
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_ATOMS = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), type(NotImplemented))
_SAID_BY_REPR = (
    range,
    slice,
    torch.dtype,
    torch.device,
    torch.Size,
    torch.memory_format,
    torch.layout,
    np.dtype,
)
_INTERNAL = frozenset(
    (
        "__dict__",
        "__weakref__",
        "__doc__",
        "__module__",
        "__qualname__",
        "__firstlineno__",
        "__abstractmethods__",
        "_abc_impl",
        "__static_attributes__",
        "__slotnames__",
        "__annotations__",
    )
)
"""Entries of a class that say nothing of what it does, or are made as it is used."""
_UNFORESEEABLE = frozenset(("eval", "exec", "globals", "__import__", "open", "input"))
_UNFORESEEABLE_OF_MODULES = frozenset(
    ("environ", "getenv", "import_module", "urlopen", "read_text", "read_bytes")
)
"""Names in code that reach what nobody can see from it: files, the environment, code that is made as it runs."""
_LIBRARIES = tuple(
    Path(path).resolve()
    for path in {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    if path
)


class Untellable(Exception):
    """Something is reached whose state nobody can tell: an open file, a lock, code that reads the environment."""


def digest(found: Any) -> str:
    """Return a sha256 of a module or a value: the same for the same code, values and libraries, whoever made it.

    Modules and functions of libraries are told by name, version and source file, all others by what they hold.

    Raises
    ------
    Untellable
        If something that is reached cannot be told.
    """
    walk = _Walk()
    try:
        walk.value(found)
    except Untellable:
        raise
    except Exception as error:  # objects raise what they like when they are asked for their state
        raise Untellable(f"{type(error).__name__}: {error}") from error
    return walk.hash.hexdigest()


class _Walk:
    """Writes what it meets into a hash, each thing after a word for its kind."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self._met: dict[Any, int] = {}
        self._uncalled: set[types.CodeType] = set()
        self._held: list[Any] = []  # whatever has been met stays alive, so that no id is used twice

    def value(self, found: Any) -> None:
        """Write a value of any kind."""
        if type(found) in _ATOMS or isinstance(found, _SAID_BY_REPR):
            self._say(type(found).__name__, repr(found))
        elif type(found) in (tuple, frozenset, set):
            self._several(found)
        elif isinstance(found, types.CodeType):  # equal code that is run twice may or may not be one object
            self._code(found)
        elif (again := self._again(found)) is not None:
            self._say("again", again)
        else:
            self._object(found)

    def _object(self, found: Any) -> None:
        match found:
            case torch.jit.ScriptModule():
                self._script(found)
            case nn.Module():
                self._say("module")
                self.value(type(found))
                self._mapping(vars(found))
            case Tensor():
                self._tensor(found)
            case np.ndarray():
                self._array(found)
            case type():
                self._class(found)
            case types.FunctionType():
                self._function(found)
            case types.ModuleType():
                self._module(found, frozenset())
            case types.MethodType():
                self._parts("method", found.__func__, found.__self__)
            case types.BuiltinFunctionType() | types.MethodDescriptorType() | types.WrapperDescriptorType():
                owner = getattr(found, "__self__", None)
                self._say("builtin", getattr(found, "__module__", None), found.__qualname__)
                if owner is not None and not isinstance(owner, types.ModuleType):
                    self.value(owner)
            case types.MethodWrapperType() | types.GetSetDescriptorType() | types.MemberDescriptorType():
                self._say("descriptor", found.__qualname__)
            case staticmethod() | classmethod():
                self._parts(type(found).__name__, found.__func__)
            case property():
                self._parts("property", found.fget, found.fset, found.fdel)
            case functools.cached_property():
                self._parts("cached property", found.func)
            case functools.partial():
                self._parts("partial", found.func, found.args, found.keywords)
            case enum.Enum():
                self._parts("enum", type(found), found.name, found.value)
            case re.Pattern():
                self._parts("pattern", found.pattern, found.flags)
            case PurePath():
                self._say("path", str(found))
            case Mapping() if type(found) in (dict, types.MappingProxyType):
                self._say("mapping")
                self._mapping(found)
            case list() if type(found) is list:
                self._say("list", len(found))
                for one in found:
                    self.value(one)
            case _ if hasattr(found, "__wrapped__"):  # `functools.cache` and its like
                self._parts("wrapped", type(found), found.__wrapped__)
            case _:
                self._reduced(found)

    def _say(self, *words: Any) -> None:
        for word in words:
            said = str(word).encode("utf-8", "surrogatepass")
            self.hash.update(f"{len(said)}:".encode() + said)

    def _parts(self, kind: str, *parts: Any) -> None:
        self._say(kind, len(parts))
        for part in parts:
            self.value(part)

    def _again(self, found: Any, names: frozenset[str] | None = None) -> int | None:
        """Return when an object was met before; None the first time."""
        key = id(found) if names is None else (id(found), names)
        if key in self._met:
            return self._met[key]
        self._met[key] = len(self._met)
        self._held.append(found)
        return None

    def _several(self, found: Any) -> None:
        self._say(type(found).__name__, len(found))
        if isinstance(found, tuple):
            for one in found:
                self.value(one)
            return
        for said in sorted(digest(one) for one in found):  # sets have no order of their own
            self._say(said)

    def _mapping(self, found: Mapping[Any, Any]) -> None:
        self._say(len(found))
        for key, value in found.items():
            self.value(key)
            self.value(value)

    def _tensor(self, found: Tensor) -> None:
        if found.layout is not torch.strided or found.device.type == "meta" or found.is_quantized:
            raise Untellable(f"a tensor of layout {found.layout} on {found.device}")
        plain = found.detach().cpu().contiguous().reshape(-1)
        self._say("tensor", type(found).__name__, found.dtype, tuple(found.shape))
        self.hash.update(plain.view(torch.uint8).numpy().data if plain.numel() else b"")

    def _array(self, found: np.ndarray) -> None:
        self._say("array", found.dtype.str, found.shape)
        if found.dtype.hasobject:
            self.value(found.tolist())
        else:
            self.hash.update(np.ascontiguousarray(found).tobytes())

    def _script(self, found: torch.jit.ScriptModule) -> None:
        held = io.BytesIO()
        torch.jit.save(found, held)
        self._say("script")
        self.hash.update(held.getbuffer())

    def _class(self, found: type) -> None:
        if self._of_library(found.__module__, found.__qualname__):
            return
        self._say("class", found.__qualname__)
        self._parts("bases", *found.__bases__)
        self._uncalled |= _uncalled(found)
        for name in sorted(set(vars(found)) - _INTERNAL):
            self._say(name)
            self.value(vars(found)[name])

    def _function(self, found: types.FunctionType) -> None:
        if self._of_library(found.__module__, found.__qualname__):
            return
        self._parts("function", found.__code__, found.__defaults__, found.__kwdefaults__, vars(found))
        for cell in found.__closure__ or ():
            try:
                self.value(cell.cell_contents)
            except ValueError:  # a name that has no value yet
                self._say("empty")
        self._globals(found)

    def _globals(self, found: types.FunctionType) -> None:
        """Write what a function's code, and the code within it, takes from outside by name."""
        names = frozenset(_names(found.__code__))
        if found.__code__ not in self._uncalled:
            _check_foreseeable(found.__code__)
        for name in sorted(names & found.__globals__.keys()):
            self._say("global", name)
            value = found.__globals__[name]
            if isinstance(value, types.ModuleType):
                self._module(value, names)
            else:
                self.value(value)
        for imported in sorted(_imports(found)):
            self._say("import", imported)
            if _library_root(imported):
                self._of_library(imported, "")
            elif imported in sys.modules:
                self._module(sys.modules[imported], names)
            else:
                raise Untellable(f"module {imported}, which is imported only as the code runs")

    def _module(self, found: types.ModuleType, names: frozenset[str]) -> None:
        """Write what of a module is used, by names that occur in the code that uses it."""
        if self._of_library(found.__name__, ""):
            return
        if (again := self._again(found, names)) is not None:
            self._say("again", again)
            return
        self._say("namespace", found.__name__)
        for name in sorted(names & vars(found).keys()):
            self._say(name)
            value = vars(found)[name]
            if isinstance(value, types.ModuleType):
                self._module(value, names)
            else:
                self.value(value)

    def _of_library(self, module: str | None, name: str) -> bool:
        """Write what a library holds under a name by its version and source file, if it is one."""
        told = _library(module or "")
        if told is None:
            return False
        self._say("library", module, name, told)
        return True

    def _code(self, code: types.CodeType) -> None:
        self._say("code", code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        self._parts("names", code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        self._parts("steps", code.co_code, code.co_exceptiontable)
        self._parts("constants", *code.co_consts)

    def _reduced(self, found: Any) -> None:
        """Write an object by what it would be pickled as."""
        reduced = found.__reduce_ex__(4)
        if isinstance(reduced, str):
            self._say("global", type(found).__module__, reduced)
            return
        made_by, arguments, *rest = reduced
        self._say("object")
        self.value(made_by)
        self.value(tuple(arguments))
        state, listed, mapped = (*rest, None, None, None)[:3]
        self.value(state)
        self._parts("items", *(listed or ()))
        self._parts("pairs", *(mapped or ()))


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _uncalled(found: type) -> set[types.CodeType]:
    """Return the code of a network's methods that none of its own code calls, such as one that saves it to a file."""
    if not issubclass(found, nn.Module):
        return set()
    methods = {n: f for n, f in vars(found).items() if isinstance(f, types.FunctionType) and n != "forward"}
    owners = [one for one in found.__mro__ if _library(one.__module__) is None]
    codes = {f.__code__ for one in owners for f in vars(one).values() if isinstance(f, types.FunctionType)}
    called = {name for code in codes for name in _names(code)}
    return {f.__code__ for name, f in methods.items() if name not in called and not name.startswith("__")}


def _check_foreseeable(code: types.CodeType) -> None:
    for step in dis.get_instructions(code):
        bare = step.opname in ("LOAD_GLOBAL", "LOAD_NAME")
        if (
            step.argval in (_UNFORESEEABLE if bare else _UNFORESEEABLE_OF_MODULES)
            and step.opname != "LOAD_CONST"
        ):
            raise Untellable(f"code that uses {step.argval}")
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            _check_foreseeable(constant)


def _imports(function: types.FunctionType) -> set[str]:
    """Return the modules that a function imports as it runs."""
    found = set()
    waiting = [function.__code__]
    while waiting:
        code = waiting.pop()
        waiting += [one for one in code.co_consts if isinstance(one, types.CodeType)]
        steps = list(dis.get_instructions(code))
        for at, step in enumerate(steps):
            if step.opname != "IMPORT_NAME":
                continue
            level = next((s.argval for s in reversed(steps[:at][-2:]) if isinstance(s.argval, int)), 0)
            package = function.__globals__.get("__package__") or ""
            found.add(
                resolve_name("." * level + str(step.argval or ""), package) if level else str(step.argval)
            )
    return found


def _library_root(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names or _library(module) is not None


@functools.lru_cache(maxsize=4096)
def _library(module: str) -> str | None:
    """Return what tells a module of a library from another one of its name; None for anybody's own modules."""
    root = module.partition(".")[0]
    if root in sys.stdlib_module_names and root != "__main__":
        return "standard"
    if root == "rsmtl":
        return root  # whose version is in the fingerprint of a product
    found, package = sys.modules.get(module), sys.modules.get(root)
    path = getattr(found, "__file__", None)
    if path is None or not any(Path(path).resolve().is_relative_to(place) for place in _LIBRARIES):
        return None
    try:
        source = hashlib.sha256(Path(path).read_bytes()).hexdigest() if path.endswith(".py") else ""
    except OSError:
        source = ""
    return f"{getattr(package, '__version__', '')} {source}"
