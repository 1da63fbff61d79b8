"""The forward pass: a module made ready for one device, layout and precision, and its activations."""

import copy
from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor, nn

from rsmtl.config import Settings
from rsmtl.errors import ModelError, PlanError, RsmtlError, RunError
from rsmtl.models.model import Model
from rsmtl.models.spec import HeadSpec, ModelSpec
from rsmtl.symmetry import GROUPS


def forward(model: Model, settings: Settings, inputs: list[Tensor]) -> dict[str, Tensor]:
    """Run one batch of windows.

    Parameters
    ----------
    inputs
        One `(N, C, H, W)` float32 tensor for each input of the spec, in its order, on the settings' device.

    Returns
    -------
    dict
        By head, `(N, C, H, W)` float32 activated values, averaged over the symmetries of `settings.tta`.

    Raises
    ------
    ModelError
        If the module fails, or does not answer as its spec says.
    RunError
        If the device's memory does not suffice.
    """
    module = ready(model, settings.device)
    group = GROUPS[settings.tta]
    total: dict[str, Tensor] = {}
    for symmetry in group:
        turned = [symmetry.apply(i).contiguous(memory_format=torch.channels_last) for i in inputs]
        answer = call(module, turned, model.spec, settings)
        for head in model.spec.heads:
            values = _activate(head, _checked(head, answer, len(inputs[0]), settings.window).float())
            upright = symmetry.undo(values)
            total[head.name] = upright if head.name not in total else total[head.name] + upright
    return {name: values / len(group) for name, values in total.items()} if len(group) > 1 else total


def call(
    module: nn.Module, inputs: list[Tensor], spec: ModelSpec, settings: Settings
) -> Mapping[str, Tensor]:
    """Run a module, which may be anybody's, and make a sentence of whatever goes wrong in it; errors as `forward`."""
    try:
        with torch.autocast(inputs[0].device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
            answer = module(*inputs)
    except RsmtlError:
        raise
    except torch.OutOfMemoryError as error:
        raise RunError(
            f"the device has too little memory for a batch of {settings.batch} windows of {settings.window} px: use a "
            "smaller batch or window"
        ) from error
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


def check_device(device: str) -> None:
    """Refuse a device that this process does not have.

    Raises
    ------
    PlanError
        If it has none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise PlanError(
            "the settings say device 'cuda', but PyTorch finds no CUDA device where the jobs would run: use "
            "`--device cpu`, or workers that have a GPU and a PyTorch built for it"
        )


@lru_cache(maxsize=2)
def ready(model: Model, device: str) -> nn.Module:
    """Return a copy of the module on the device, channels last; one per process, however many jobs run it."""
    return copy.deepcopy(model.module).eval().to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


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


def _activate(head: HeadSpec, values: Tensor) -> Tensor:
    match head.activation:
        case "softmax":
            return values.softmax(dim=1)
        case "sigmoid":
            return values.sigmoid()
        case "none":
            return values
