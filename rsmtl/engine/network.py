"""The forward pass: a module made ready for one device, layout and precision, and its activations."""

import copy
from functools import lru_cache

import torch
from torch import Tensor, nn

from rsmtl.config import Settings
from rsmtl.errors import ModelError, PlanError
from rsmtl.models.model import Model
from rsmtl.models.spec import HeadSpec


def forward(model: Model, settings: Settings, inputs: list[Tensor]) -> dict[str, Tensor]:
    """Run one batch of windows.

    Parameters
    ----------
    inputs
        One `(N, C, H, W)` float32 tensor for each input of the spec, in its order, on the settings' device.

    Returns
    -------
    dict
        By head, `(N, C, H, W)` float32 activated values.

    Raises
    ------
    ModelError
        If the module does not answer as its spec says.
    """
    module = ready(model, settings.device)
    with torch.autocast(settings.device, torch.bfloat16, enabled=settings.precision == "bf16"):
        answer = module(*inputs)
    batch, window = len(inputs[0]), settings.window
    return {
        head.name: _activate(head, _checked(head, answer, batch, window).float()) for head in model.spec.heads
    }


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


def _checked(head: HeadSpec, answer: dict[str, Tensor], batch: int, window: int) -> Tensor:
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
