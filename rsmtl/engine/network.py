"""The forward pass: a module made ready for one device, layout and precision, and its activations."""

import copy
import logging
from collections.abc import Hashable, Mapping
from functools import lru_cache, partial

import torch
from torch import Tensor, nn

from rsmtl.config import Settings
from rsmtl.engine.device import computing, make_exact
from rsmtl.engine.outputs import asked_heads
from rsmtl.engine.recording import Function, recorded
from rsmtl.errors import ModelError, RsmtlError, RunError
from rsmtl.logs import tell
from rsmtl.models.exported import ExportedModule
from rsmtl.models.margin import activated
from rsmtl.models.model import Model, Selective
from rsmtl.models.spec import HeadSpec, ModelSpec
from rsmtl.symmetry import GROUPS

_LOG = logging.getLogger(__name__)

_AT_ONCE: dict[Hashable, int] = {}
"""Windows of a batch that fit into the device's memory together, where it is known that not all do."""

_RECORDED: dict[Hashable, Function] = {}
"""On a GPU: the forward pass for the shape of batch that ran last. It keeps the memory that it computes in."""


@torch.inference_mode()
def forward(model: Model, settings: Settings, inputs: list[Tensor]) -> dict[str, Tensor]:
    """Run one batch of windows.

    Where a device's memory does not suffice, this process runs such batches in halves from then on, or in parts of
    these, down to single windows.

    Parameters
    ----------
    inputs
        One `(N, C, H, W)` float32 tensor for each input of the spec, in its order, on the settings' device.

    Returns
    -------
    dict
        By head that is asked for, `(N, C, H, W)` float32 activated values, averaged over the symmetries of
        `settings.tta`. Those on a GPU stand until the next call.

    Raises
    ------
    ModelError
        If the module fails, or does not answer as its spec says.
    RunError
        If the device's memory does not suffice for one window.
    """
    whole, key = len(inputs[0]), _key(model, settings, inputs)
    with computing(settings.device):
        while True:
            at_once = _AT_ONCE.get(key, whole)
            try:
                return _in_parts(model, settings, inputs, at_once)
            except torch.OutOfMemoryError as error:
                if isinstance(model.module, ExportedModule):  # it takes no other batch
                    raise RunError(
                        f"the device has too little memory for the {whole} window(s) of "
                        f"{_window(model.spec, inputs)} px that the program takes at a time: export it again for fewer "
                        "or smaller ones"
                    ) from error
                if at_once == 1:
                    window = _window(model.spec, inputs)
                    raise RunError(
                        f"the device has too little memory for one window of {window} px: use a smaller window"
                    ) from error
            forget_recorded()  # only now has been given back what the error held
            _AT_ONCE[key] = next(n for n in range(at_once // 2, 0, -1) if whole % n == 0)
            tell(_LOG, "batch halved", level=logging.WARNING, batch=whole, at_once=_AT_ONCE[key])


def _in_parts(model: Model, settings: Settings, inputs: list[Tensor], at_once: int) -> dict[str, Tensor]:
    if at_once == len(inputs[0]):
        return _function(model, settings, inputs)(inputs)
    answers = []
    for part in zip(*(torch.split(i, at_once) for i in inputs), strict=True):
        answer = _function(model, settings, list(part))(list(part))
        answers.append({name: values.clone() for name, values in answer.items()})
    return {name: torch.cat([answer[name] for answer in answers]) for name in answers[0]}


def _function(model: Model, settings: Settings, inputs: list[Tensor]) -> Function:
    """Return what runs a batch: on a GPU a recording, where there can be one."""
    passes = partial(_passes, model, settings)
    if settings.device == "cpu":
        return passes
    key = _key(model, settings, inputs)
    if key not in _RECORDED:
        forget_recorded()
        _RECORDED[key] = recorded(passes, inputs)
    return _RECORDED[key]


def forget_recorded() -> None:
    """Give back the memory of the recording, and what PyTorch has put aside."""
    if _RECORDED:
        torch.cuda.synchronize()  # it may be running yet
        _RECORDED.clear()
    torch.cuda.empty_cache()


def _key(model: Model, settings: Settings, inputs: list[Tensor]) -> Hashable:
    shapes = tuple(tuple(i.shape) for i in inputs)
    return model.sha256, settings.device, settings.precision, settings.tta, settings.heads, shapes


def _window(spec: ModelSpec, inputs: list[Tensor]) -> int:
    """Return the edge of the windows in reference pixels."""
    return next(t.shape[-1] for i, t in zip(spec.inputs, inputs, strict=True) if i.name == spec.reference)


def _passes(model: Model, settings: Settings, inputs: list[Tensor]) -> dict[str, Tensor]:
    """Run all windows together, once for each symmetry."""
    module, heads = (
        ready(model, settings.device, left_out(model.spec, settings)),
        asked_heads(model.spec, settings),
    )
    group, expected = GROUPS[settings.tta], (len(inputs[0]), _window(model.spec, inputs))
    total: dict[str, Tensor] = {}
    for symmetry in group:
        turned = [symmetry.apply(i).contiguous(memory_format=torch.channels_last) for i in inputs]
        answer = call(module, turned, model.spec, settings)
        for head in heads:
            values = activated(head, _checked(head, answer, *expected).float())
            upright = symmetry.undo(values)
            total[head.name] = upright if head.name not in total else total[head.name] + upright
    return {name: values / len(group) for name, values in total.items()} if len(group) > 1 else total


def call(
    module: nn.Module, inputs: list[Tensor], spec: ModelSpec, settings: Settings
) -> Mapping[str, Tensor]:
    """Run a module, which may be anybody's, and make a sentence of whatever goes wrong in it.

    Raises
    ------
    ModelError
        If it fails, or does not return a dict.
    OutOfMemoryError
        PyTorch's, if the device's memory does not suffice.
    """
    try:
        with torch.autocast(inputs[0].device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
            answer = module(*inputs)
    except (RsmtlError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        shapes = ", ".join(f"{i.name} {tuple(t.shape)}" for i, t in zip(spec.inputs, inputs, strict=True))
        raise ModelError(
            f"the module of {spec.system!r} fails on {shapes}, which its spec allows: "
            f"{type(error).__name__}: {error}; mend the module, or its spec's divisor and channels"
        ) from error
    if not isinstance(answer, Mapping):
        raise ModelError(
            f"the module of {spec.system!r} must return a dict from head name to tensor, but it gave "
            f"{type(answer).__name__}: wrap it in a module that does"
        )
    return answer


def left_out(spec: ModelSpec, settings: Settings) -> frozenset[str]:
    """Return the names of the heads that are not asked for."""
    return frozenset(head.name for head in spec.heads) - {head.name for head in asked_heads(spec, settings)}


@lru_cache(maxsize=2)
def ready(model: Model, device: str, without: frozenset[str] = frozenset()) -> nn.Module:
    """Return a copy of the module on the device, channels last; one per process, however many jobs run it.

    Parameters
    ----------
    without
        Heads that it need not compute.
    """
    make_exact(device)
    module: nn.Module = copy.deepcopy(model.module).eval()
    if isinstance(module, Selective):
        module.leave_out(without)
    return module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _checked(head: HeadSpec, answer: Mapping[str, Tensor], batch: int, window: int) -> Tensor:
    edge = int(window * head.scale)
    expected = (batch, head.channels, edge, edge)
    if head.name not in answer:
        raise ModelError(
            f"the model's spec promises a head {head.name!r}, but the module gave {sorted(answer)}: mend the spec"
        )
    if tuple(answer[head.name].shape) != expected:
        raise ModelError(
            f"head {head.name!r} should be {expected} for a window of {window} px as the spec says, "
            f"but the module gave {tuple(answer[head.name].shape)}: mend the spec or the module"
        )
    return answer[head.name]
