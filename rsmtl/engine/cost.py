"""What a plan costs, before anything runs: windows, bytes, memory."""

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rsmtl.blend import DTYPES
from rsmtl.config import Settings
from rsmtl.engine.classical import ModelFinder
from rsmtl.engine.executor import Executor, SerialExecutor
from rsmtl.engine.network import call
from rsmtl.engine.plan import Plan, region_bytes_per_px
from rsmtl.engine.plan import plan as lay
from rsmtl.errors import PlanError, RsmtlError
from rsmtl.models.model import Model
from rsmtl.scene.open import Assets, SceneRef, open_scene


@dataclass(frozen=True)
class Cost:
    """Counts and projected bytes of a run; upper bounds, since windows without a valid pixel are not run."""

    height_px: int
    width_px: int
    chunk_px: int
    n_chunks: int
    n_windows: int
    windows_per_px: float
    """Forward-passed pixels over the scene's pixels: what the overlap costs."""
    read_bytes: int
    """Pixels read by all chunk jobs, as stored; 1 + the share that borders read twice."""
    written_bytes: int
    """All outputs, uncompressed."""
    border_bytes: int
    """Strips that travel between chunks."""
    worker_bytes: int
    """Projected peak of a worker that runs one job at a time."""


def cost(plan: Plan) -> Cost:
    """Project what a plan costs."""
    lattice, spec = plan.lattice, plan.model.spec
    regions = [_px(lattice.region(chunk)) for chunk in plan.chunks]
    n_px = lattice.height * lattice.width
    borders = sum(
        _px(spans)
        for chunk in plan.chunks
        for area, spans in lattice.areas(chunk).items()
        if area != ("core", "core")
    )
    per_px_in = sum(
        float(i.scale) ** 2 * i.channels * np.dtype(plan.scene.inputs[i.name].storage.dtype).itemsize
        for i in spec.inputs
    )
    per_px_out = sum(float(o.scale) ** 2 * len(o.bands) * np.dtype(o.dtype).itemsize for o in plan.outputs)
    per_px_sums = sum(float(h.scale) ** 2 * h.channels * DTYPES[h.kind].itemsize for h in spec.heads)
    return Cost(
        height_px=lattice.height,
        width_px=lattice.width,
        chunk_px=lattice.y.chunk_px,
        n_chunks=len(plan.chunks),
        n_windows=lattice.n_windows,
        windows_per_px=lattice.n_windows * lattice.window**2 / n_px,
        read_bytes=int(sum(regions) * per_px_in),
        written_bytes=int(n_px * per_px_out),
        border_bytes=int(borders * per_px_sums),
        worker_bytes=_worker_bytes(plan, max(regions)),
    )


def costs_of(
    refs: Sequence[SceneRef],
    assets: Assets | None,
    find_model: ModelFinder,
    settings: Settings,
    executor: Executor | None = None,
) -> list[tuple[str, Cost | RsmtlError]]:
    """Open scenes and project what each costs: its id and the figures, or what is wrong with it."""
    found: list[tuple[str, Cost | RsmtlError]] = []
    for ref in refs:
        name = ref.id
        try:
            scene = open_scene(ref.source, assets)
            name = scene.id
            model = find_model(scene, settings, executor or SerialExecutor())
            found.append((name, cost(lay(scene, model, settings, measure=False))))
        except RsmtlError as error:
            found.append((name, error))
    return found


def check_fits(projected: Cost, executor: Executor) -> None:
    """Refuse a plan whose jobs need more memory than a worker has.

    Raises
    ------
    PlanError
        With both figures and what to change.
    """
    if projected.worker_bytes > executor.slot_bytes:
        raise PlanError(
            f"one job is projected to need {projected.worker_bytes / 2**20:,.0f} MiB and a worker has "
            f"{executor.slot_bytes / 2**20:,.0f} MiB for it: use a smaller chunk, batch or window, or fewer workers "
            "with more memory each"
        )


def _worker_bytes(plan: Plan, region_px: int) -> int:
    """This process as it is (a worker imports the same), the weights, a chunk's arrays, and a forward pass."""
    chunk = region_px * region_bytes_per_px(plan.model.spec, plan.outputs)
    return int(psutil.Process().memory_info().rss + chunk + _weights_bytes(plan.model) + forward_bytes(plan))


@lru_cache(maxsize=2)
def _weights_bytes(model: Model) -> int:
    return sum(t.numel() * t.element_size() for t in model.module.state_dict().values())


def forward_bytes(plan: Plan) -> int:
    """Peak bytes of the tensors alive during one forward pass.

    Found on tensors that have shapes but no numbers. A module that decides by numbers, or has operators that know no
    such tensors, is run once for real.
    """
    return _forward_bytes(plan.model, plan.settings.model_copy(update={"chunk": None}))


@lru_cache(
    maxsize=2
)  # the same for each scene of a catalogue, and longer to find out than all else of a plan
def _forward_bytes(model: Model, settings: Settings) -> int:
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            return _watched_bytes(model, settings)
    except Exception:
        return _watched_bytes(model, settings)


def _watched_bytes(model: Model, settings: Settings) -> int:
    sizes = [(i.channels, int(settings.window * i.scale)) for i in model.spec.inputs]
    with torch.inference_mode(), _Alive() as alive:
        inputs = [torch.zeros(settings.batch, channels, edge, edge) for channels, edge in sizes]
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


def _px(spans: Sequence[Any]) -> int:
    return int(spans[0].size * spans[1].size)
