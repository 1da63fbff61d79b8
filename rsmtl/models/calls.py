"""What a program's calls may be given: sizes and numbers that PyTorch's kernels are safe with.

A file says of every tensor how large it is. Nothing of that is believed: sizes are found anew from those of the weights
and of the inputs, by the operators' own rules and without computing anything. Kernels rely on the rules, and where
those do not look, this module does.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

logging.getLogger("torch._subclasses.fake_tensor").setLevel(logging.CRITICAL)
"""It logs the traceback of each error that it raises."""

_SCALE_LIMIT = 4096.0
"""Of an upsampling: the place of a source pixel is computed in float32 and cast to an integer, whatever it is."""
_DIVISIONS = frozenset({"div", "divide", "floor_divide", "remainder", "fmod"})


class UnsafeCall(Exception):
    """A call whose sizes or numbers do not fit its operator."""


def check_calls(program: ExportedProgram, inputs: Sequence[Sequence[int]]) -> None:
    """Follow the sizes through a program that was read and not yet run.

    Parameters
    ----------
    inputs
        Sizes of what it will be given, float32.

    Raises
    ------
    UnsafeCall
        If an operator does not take what it is called with, or gives something else than the file says.
    """
    # fallbacks would compute, on sizes that are not yet known to be safe
    mode = FakeTensorMode(allow_fallback_kernels=False)
    with torch.no_grad(), mode:
        given = iter([torch.empty(tuple(sizes)) for sizes in inputs])
        taken: list[Tensor | None] = []
        for spec in program.graph_signature.input_specs:
            if spec.kind is InputKind.USER_INPUT:
                taken.append(next(given, None))
            else:
                held = program.state_dict if spec.target in program.state_dict else program.constants
                taken.append(mode.from_tensor(held[str(spec.target)]))
        if any(one is None for one in taken) or next(given, None) is not None:
            raise UnsafeCall(f"another number of inputs than the {len(inputs)} of its card")
        _Follower(program.graph_module).run(*taken)


class _Follower(fx.Interpreter):
    """Runs a graph on tensors without memory, and compares what comes of each call with what the file says."""

    def run_node(self, n: fx.Node) -> Any:
        try:
            if isinstance(n.target, OpOverload):
                check_call(n.target, *self.fetch_args_kwargs_from_env(n))
            found = super().run_node(n)
        except UnsafeCall:
            raise
        except Exception as error:  # whatever an operator's rule raises
            raise UnsafeCall(
                f"a call {n.name!r} of {n.target} that cannot be made ({_first_line(error)})"
            ) from error
        if n.op != "output" and "val" in n.meta and _described(found) != _described(n.meta["val"]):
            raise UnsafeCall(f"{n.name!r} as {_said(n.meta['val'])}, where {n.target} gives {_said(found)}")
        return found


def check_call(operator: OpOverload, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Refuse what an operator's own rule lets through although its kernel reads out of bounds, or ends the process.

    Raises
    ------
    UnsafeCall
        Saying what it is.
    """
    name = operator._schema.name.removeprefix("aten::").rstrip("_")
    named = {one.name: value for one, value in zip(operator._schema.arguments, args, strict=False)} | kwargs
    if name in _DIVISIONS:
        _check_division(operator, named)
    elif "upsample" in name:
        _check_scales(operator, named)
    elif name == "scaled_dot_product_attention":
        _check_attention(operator, named)


def _check_division(operator: OpOverload, named: dict[str, Any]) -> None:
    """The processor traps when the smallest integer is divided by -1."""
    divided, by = named.get("self"), named.get("other")
    if operator._schema.name.rstrip("_") in ("aten::div", "aten::divide") and not named.get("rounding_mode"):
        return
    if _is_whole(divided) and _is_whole(by) and (isinstance(by, Tensor) or by in (0, -1)):
        raise UnsafeCall(f"a call of {operator} of integers by integers that are not known: divide floats")


def _check_scales(operator: OpOverload, named: dict[str, Any]) -> None:
    for name, value in named.items():
        for scale in _floats(value) if "scale" in name else ():
            if not 1 / _SCALE_LIMIT <= scale <= _SCALE_LIMIT:
                raise UnsafeCall(f"a call of {operator} with {name} {scale}")


def _check_attention(operator: OpOverload, named: dict[str, Any]) -> None:
    """Of keys and values the kernel reads as many as there are values."""
    query, key, value = (named[name] for name in ("query", "key", "value"))
    if (
        query.shape[:-2] != key.shape[:-2]
        or key.shape[:-1] != value.shape[:-1]
        or query.shape[-1] != key.shape[-1]
    ):
        raise UnsafeCall(
            f"a call of {operator} with sizes {[tuple(one.shape) for one in (query, key, value)]} that do not belong "
            "together"
        )


def _is_whole(value: Any) -> bool:
    if isinstance(value, Tensor):
        return not (value.is_floating_point() or value.is_complex())
    return isinstance(value, int)


def _floats(value: Any) -> Iterator[float]:
    for one in value if isinstance(value, list | tuple) else (value,):
        if one is not None:
            yield float(one) if not math.isnan(float(one)) else math.inf


def _described(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.dtype, tuple(value.shape)
    return tuple(_described(one) for one in value) if isinstance(value, list | tuple) else None


def _said(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    return f"[{', '.join(map(_said, value))}]" if isinstance(value, list | tuple) else "no tensor"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
