"""A function of tensors on a GPU, recorded once as a CUDA graph and replayed by one call; its bits are the same.

What queues a hundred kernels from Python keeps a fast GPU waiting. A recording holds for the shapes it was made with.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rsmtl.logs import tell

_LOG = logging.getLogger(__name__)

Function = Callable[[list[Tensor]], dict[str, Tensor]]

_ASKING = {
    torch.Tag.data_dependent_output,
    torch.Tag.dynamic_output_shape,
    torch.Tag.nondeterministic_seeded,
    torch.Tag.cudagraph_unsafe,
}
"""Operators that the host waits for, as their results decide what comes next, or that give others each time."""

_FAILED: list[torch.cuda.CUDAGraph] = []
"""PyTorch's allocator goes on asking a recording that failed to end, so it must not vanish."""


class Recording:
    """What a function queues, with its inputs and its results at fixed places."""

    def __init__(self, function: Function, inputs: list[Tensor]) -> None:
        self._graph = torch.cuda.CUDAGraph()
        self._inputs = [torch.empty_like(given).copy_(given) for given in inputs]
        _FAILED.append(self._graph)
        with (
            torch.cuda.stream(
                torch.cuda.current_stream()
            ),  # which a recording that fails does not go back to
            torch.cuda.graph(self._graph, capture_error_mode="thread_local"),  # others go on copying
        ):
            self._results = function(self._inputs)
        _FAILED.remove(self._graph)

    def __call__(self, inputs: list[Tensor]) -> dict[str, Tensor]:
        """Return the results, which stand until the next call."""
        for place, given in zip(self._inputs, inputs, strict=True):
            place.copy_(given)
        self._graph.replay()
        return self._results


def recorded(function: Function, inputs: list[Tensor]) -> Function:
    """Run a function once and record it; one that cannot be recorded is returned as it is, and the log says why.

    Parameters
    ----------
    inputs
        Like all that it will be given: of their shapes, strides and types, on the GPU.
    """
    with Watch(inputs[0].device) as watch:
        expected = function(inputs)
    reason = watch.reason
    if not reason:
        try:
            recording = Recording(function, inputs)
            if same_bits(recording(inputs), expected):
                return recording
            reason = "what was recorded gives other numbers"
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
    tell(_LOG, "forward pass not recorded", level=logging.WARNING, reason=reason)
    return function


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Looks for what a recording would not repeat: work of the host, and tensors that are not on the device."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._device = device
        self.reason = ""
        """Why the function cannot be recorded; empty if nothing was found."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if _ASKING & set(function.tags):
            self.reason = self.reason or f"{function} depends on what the host knows"
        for leaf in tree_leaves((args, kwargs, result)):
            if isinstance(leaf, Tensor) and leaf.device.type != self._device.type:
                self.reason = self.reason or f"{function} has a tensor on {leaf.device.type!r}"
        return result


def same_bits(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether float32 tensors of the same names are equal bit by bit."""
    return all(
        torch.equal(values.view(torch.int32), other[name].view(torch.int32)) for name, values in one.items()
    )
