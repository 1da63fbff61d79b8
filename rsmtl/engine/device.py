"""The way of a job's arrays to a device and back, beside the computing of other jobs; on the CPU there is no way to go.

A job reads without asking anybody. Then it takes a lane: a stream on which its arrays travel, and are finished, while
the device computes for others. What forward passes and blending need is queued on one stream, by one job at a time.
Whatever a job keeps on the device is made on its lane; what is made while it is computing is gone afterwards, or of use
to computing alone. The memory of each stream is then used again in the order of that stream, and nothing needs to wait
for the host.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from queue import SimpleQueue
from typing import Any

import torch
from torch import Tensor

from rsmtl.errors import PlanError, RunError

LANES = 3
"""Jobs that have arrays on a device: one sends, one computes, one fetches. The others wait, however many there are."""

_MAKING = threading.Lock()


class Device:
    """A device of this process, and the order in which its jobs use it."""

    def __init__(self, device: str) -> None:
        self._streams: Any = torch.get_device_module(device)  # `torch.cuda`
        self._computing = self._streams.Stream()
        self._turn = threading.RLock()
        self._lanes: SimpleQueue[Any] = SimpleQueue()
        for _ in range(LANES):
            self._lanes.put(self._streams.Stream())

    @contextmanager
    def lane(self) -> Iterator[None]:
        """Wait for a lane, and make its stream the calling thread's."""
        stream = self._lanes.get()
        try:
            with self._streams.stream(stream):
                yield
        finally:
            self._lanes.put(stream)

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Wait for one's turn, and queue behind all that was queued, and behind the calling thread's own stream.

        That stream continues when what was queued here is done. Whoever computes already may do so again.
        """
        mine = self._streams.current_stream()
        with self._turn:
            self._computing.wait_stream(mine)
            try:
                with self._streams.stream(self._computing):
                    yield
            finally:
                mine.wait_stream(self._computing)


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


@contextmanager
def lane(device: str) -> Iterator[None]:
    """Let the calling thread have arrays on a device while the block lasts.

    Raises
    ------
    RunError
        If they do not fit into its memory.
    """
    try:
        with nullcontext() if device == "cpu" else _device(device).lane():
            yield
    except torch.OutOfMemoryError as error:
        raise RunError(
            f"the device has too little memory for the arrays of {LANES} chunks: use a smaller chunk or batch"
        ) from error


@contextmanager
def computing(device: str) -> Iterator[None]:
    """Let the calling thread run forward passes, and blend, while the block lasts: one thread at a time on a GPU."""
    with nullcontext() if device == "cpu" else _device(device).computing():
        yield


def to_device(values: Tensor, device: str) -> Tensor:
    """Send an array of this machine's memory; what is queued next on the calling thread's stream finds it there."""
    return values if device == "cpu" else values.pin_memory().to(device, non_blocking=True)


def to_host(values: Tensor) -> Tensor:
    """Fetch an array as soon as the calling thread's stream has made it; one that is here already is not copied.

    It lies in pinned memory, of which there is little: do not keep it.
    """
    if not values.is_cuda:
        return values
    found = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    found.copy_(values, non_blocking=True)
    torch.cuda.current_stream().synchronize()
    return found


def make_exact(device: str) -> None:
    """Let libraries compute the same bits each time, and float32 in full; it holds for the whole process.

    By default cuDNN rounds the factors of float32 convolutions to ten bits (TF32), and takes any algorithm. These are
    PyTorch's older names: once the newer are used, reading an older one raises an error, as PyTorch itself does in
    `torch.backends.cudnn.flags`.
    """
    if device == "cpu":
        return
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def _device(device: str) -> Device:
    check_device(device)
    with _MAKING:  # or two threads would each make one, and would not wait for each other
        return _made(device)


@cache
def _made(device: str) -> Device:
    return Device(device)
