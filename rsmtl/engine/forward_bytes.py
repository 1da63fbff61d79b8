"""The memory of a forward pass, found out without running it."""

import weakref
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rsmtl.config import Settings
from rsmtl.engine.network import call
from rsmtl.models.model import Model

_FOUND: dict[Hashable, int] = {}
"""By what a model is and not by which object: a module in memory is told anew for each scene of a catalogue, and the
figure takes longer to find out than all else of a plan.
"""


def forward_bytes(model: Model, window: int, batch: int, precision: Literal["fp32", "bf16"]) -> int:
    """Peak bytes of the tensors alive during one forward pass of `batch` windows.

    Found on tensors that have shapes but no numbers. A module that decides by numbers, or has operators that know no
    such tensors, is run once for real.
    """
    spec = model.spec
    asked = tuple((i.channels, i.scale) for i in spec.inputs), tuple(head.name for head in spec.heads)
    key = model.sha256, asked, window, batch, precision
    if key not in _FOUND:
        settings = Settings(window=window, batch=batch, precision=precision)
        try:
            with FakeTensorMode(allow_non_fake_inputs=True):
                _FOUND[key] = _watched_bytes(model, window, batch, settings)
        except Exception:
            _FOUND[key] = _watched_bytes(model, window, batch, settings)
    return _FOUND[key]


def _watched_bytes(model: Model, window: int, batch: int, settings: Settings) -> int:
    sizes = [(i.channels, int(window * i.scale)) for i in model.spec.inputs]
    with torch.inference_mode(), _Alive() as alive:
        inputs = [torch.zeros(batch, channels, edge, edge) for channels, edge in sizes]
        call(model.module, inputs, model.spec, settings)
    return int(alive.peak_bytes)


class _Alive(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Watches tensors come and go."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak_bytes = 0
        self._bytes = 0
        self._users: dict[int, int] = {}

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._watch(tensor)
        return result

    def _watch(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        self._users[key] = self._users.get(key, 0) + 1
        if self._users[key] == 1:
            self._bytes += size
            self.peak_bytes = max(self.peak_bytes, self._bytes)
        weakref.finalize(tensor, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self._users[key] -= 1
        if not self._users[key]:
            del self._users[key]
            self._bytes -= size
