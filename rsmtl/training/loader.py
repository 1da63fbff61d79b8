"""Batches ahead of the model: read by threads while it computes, in an order that is fixed."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import torch
from torch import Tensor

from rsmtl.training.examples import Batch

AHEAD = 2
"""Batches that wait for the model."""

Key = TypeVar("Key")


class Loader(Generic[Key]):
    """Iterates over batches; counts the seconds that the model waited for them.

    What is fetched depends on its key alone, so the state of a loader is how far it has come, and threads change
    nothing but the time that it takes.

    Parameters
    ----------
    fetch
        From a key to one example.
    batches
        The keys of each batch.
    """

    def __init__(
        self,
        fetch: Callable[[Key], Batch],
        batches: Iterable[Sequence[Key]],
        n_threads: int,
        device: torch.device,
    ) -> None:
        self.waited_s = 0.0
        self._fetch, self._batches = fetch, batches
        self._n_threads, self._device = n_threads, device

    def __iter__(self) -> Iterator[Batch]:
        pool = ThreadPoolExecutor(self._n_threads, thread_name_prefix="rsmtl-loader")
        pending: deque[list[Future[Batch]]] = deque()
        try:
            for keys in self._batches:
                pending.append([pool.submit(self._fetch, key) for key in keys])
                if len(pending) > AHEAD:
                    yield self._collated(pending.popleft())
            while pending:
                yield self._collated(pending.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _collated(self, futures: list[Future[Batch]]) -> Batch:
        began = time.perf_counter()
        examples = [future.result() for future in futures]
        batch = {
            name: self._moved(torch.stack([example[name] for example in examples])) for name in examples[0]
        }
        self.waited_s += time.perf_counter() - began
        return batch

    def _moved(self, values: Tensor) -> Tensor:
        if self._device.type == "cpu":
            return values
        return values.pin_memory().to(self._device, non_blocking=True)
