"""Calls every operator that a `.pt2` may call with whatever passes the checks, in processes that may die.

Each tensor ends, or begins, where memory does that nobody may touch: a kernel that reads or writes past it ends its
process. `python -m tests.models.fuzz --calls 1000` makes so many calls per operator, and prints what was found.
"""

import argparse
import ctypes
import math
import mmap
import os
import random
import re
import resource
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensorMode

from rsmtl.models import load_model
from rsmtl.models.calls import check_call
from rsmtl.models.operators import OPERATORS, is_known
from tests.models.edited import load_edited, save_many_kinds

LARGEST = 2**20
"""Elements of a result; larger ones are not computed, which is no question of safety."""
SECONDS = 1.0
"""Of the processor; a call that takes longer is given up: it hangs, which costs a scene and nothing else."""
GIVEN_UP = 3
"""Of one operator, or of the files, no more is tried after so many that ended their process."""
BEGUN = "begun"

_PAGE = mmap.PAGESIZE
_SLOT = 16 * _PAGE
_FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
_TYPES = (*_FLOATS, torch.int64, torch.int32, torch.uint8, torch.int8, torch.bool, torch.complex64)
_INTEGERS = (0, 1, 2, 3, 4, -1, -2, 7, 2**31, 2**48 - 1, 1 - 2**48, 2**63 - 1)
_REALS = (0.0, 1.0, -1.0, 0.5, 2.0, 1e-40, 1e-7, 1e30, 1e300, -1e300, math.inf, -math.inf, math.nan)
_WORDS = {
    "approximate": ("none", "tanh"), "rounding_mode": (None, "trunc", "floor"), "indexing": ("ij", "xy"),
    "reduce": ("sum", "prod", "mean", "amax", "amin"), "side": ("left", "right"), "UPLO": ("L", "U"),
    "interpolation": ("linear", "lower", "nearest"), "padding": ("same", "valid"), "ord": ("fro", "nuc"),
    "mode": ("constant", "reflect", "replicate", "circular", "reduced", "complete"), "norm": (None, "ortho", "forward"),
    "driver": (None,), "equation": ("ij,jk->ik", "bij,bjk->bik", "ii->i", "i,j->ij", "bchw->bhwc"),
}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """What ended its process."""

    what: str
    number: int
    by: str


class Guarded:
    """Tensors between pages that cannot be touched; each call takes them all back."""

    def __init__(self, n_slots: int = 24) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, *[ctypes.c_size_t], *[ctypes.c_int] * 3, ctypes.c_long]
        libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        step = _SLOT + _PAGE
        start = libc.mmap(None, n_slots * step + _PAGE, 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
        self._slots = [start + _PAGE + k * step for k in range(n_slots)]
        for slot in self._slots:
            assert libc.mprotect(slot, _SLOT, mmap.PROT_READ | mmap.PROT_WRITE) == 0
        self._taken = 0

    def release(self) -> None:
        self._taken = 0

    def tensor(self, values: torch.Tensor, *, at_start: bool) -> torch.Tensor:
        """Return a copy of a tensor of one dimension that ends, or begins, at a guard."""
        n_bytes = values.numel() * values.element_size()
        if n_bytes == 0 or n_bytes > _SLOT:
            return values
        slot = self._slots[self._taken % len(self._slots)]
        self._taken += 1
        place = (ctypes.c_char * n_bytes).from_address(slot if at_start else slot + _SLOT - n_bytes)
        return torch.frombuffer(place, dtype=values.dtype).copy_(values)


class Caller:
    """Makes up arguments by the types in an operator's schema; the same for the same number."""

    def __init__(self, guarded: Guarded, target: str, number: int) -> None:
        self.guarded, self.random = guarded, random.Random(f"{target}:{number}")
        spatial = [n for n in (1, 2, 3) if f"{n}d" in target]
        self.n_dims = self.random.choice((0, 1, 2, 3, 4, 4, 4, 5)) if not spatial else spatial[0] + 2
        self.size = self.random.choice((1, 2, 3, 4, 6))
        self.dtype = self.random.choice(_FLOATS if self.random.random() < 0.8 else _TYPES)
        guarded.release()

    def argument(self, one: Any) -> Any:
        kind, name = str(one.type), one.name
        if kind.startswith("Optional[") and self.random.random() < 0.5:
            return None
        kind = kind.removeprefix("Optional[").rstrip("]") if kind.startswith("Optional[") else kind
        if name == "dtype":
            return self.random.choice(_TYPES)
        if name == "memory_format":
            return self.random.choice((torch.contiguous_format, torch.preserve_format, torch.channels_last))
        if name in ("layout", "device", "pin_memory", "generator"):
            return None
        if kind.startswith("List["):
            return self._list(one, kind)
        return self._one(kind, name)

    def _list(self, one: Any, kind: str) -> list[Any]:
        inner = kind.removeprefix("List[").rstrip("]")
        count = self.random.choice((0, 1, 2, 3, 4, 5, *[max(self.n_dims - 2, 1)] * 6))
        if inner.startswith("Optional"):
            inner = inner.removeprefix("Optional[")
            return [None if self.random.random() < 0.4 else self._one(inner, one.name) for _ in range(count)]
        return [self._one(inner, one.name) for _ in range(count)]

    def _one(self, kind: str, name: str) -> Any:
        if kind == "Tensor":
            return self.tensor(index="ind" in name or name in ("sorter", "mask"))
        if kind == "bool":
            return self.random.random() < 0.5
        if kind == "str":
            return self.random.choice(_WORDS[name])
        if kind == "int":
            return self._integer()
        if kind == "float" or self.random.random() < 0.6:
            return self.random.choice(_REALS) if self.random.random() < 0.4 else self.random.uniform(0.1, 3)
        return self.random.choice((True, self._integer(), self._integer()))

    def _integer(self) -> int:
        return self.random.choice(_INTEGERS if self.random.random() < 0.3 else (0, 1, 1, 2, self.size))

    def tensor(self, *, index: bool) -> torch.Tensor:
        n_dims = self.n_dims if self.random.random() < 0.7 else self.random.choice((0, 1, 1, 2, 3, 4))
        sizes = [
            self.size if self.random.random() < 0.7 else self.random.choice((0, 1, 1, 2, 3, 5, 8))
            for _ in range(n_dims)
        ]
        dtype = self.dtype if self.random.random() < 0.9 else self.random.choice(_TYPES)
        if index and self.random.random() < 0.8:
            dtype = torch.int64 if self.random.random() < 0.7 else torch.bool
        order = list(range(n_dims))
        if self.random.random() < 0.3:
            self.random.shuffle(order)
        strides, reach = [0] * n_dims, 1
        for dim in reversed(order):
            if self.random.random() < 0.05:
                continue  # expanded
            strides[dim] = reach * (2 if self.random.random() < 0.05 else 1)
            reach = strides[dim] * max(sizes[dim], 1)
        offset = self.random.choice((0, 0, 0, 3))
        n = offset + 1 + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
        n = max(n, 1) if 0 not in sizes else 1 + offset
        stored = self.guarded.tensor(self._values(n, dtype), at_start=self.random.random() < 0.2)
        return stored.as_strided(sizes, strides, offset)

    def _values(self, n: int, dtype: torch.dtype) -> torch.Tensor:
        wild = self.random.random() < 0.3
        if dtype is torch.bool:
            return torch.tensor([self.random.random() < 0.5 for _ in range(n)])
        if dtype.is_floating_point or dtype.is_complex:
            some = [
                self.random.choice(_REALS) if wild else self.random.gauss(0, 2) for _ in range(min(n, 64))
            ]
            return torch.tensor(some, dtype=torch.float64).to(dtype).repeat(n // len(some) + 1)[:n].clone()
        limits = torch.iinfo(dtype)
        pool = (limits.min, limits.max, -1 if limits.min else 1, 0, 1, 2, 100) if wild else (0, 0, 1, 1, 2, 3)
        some = [self.random.choice(pool) for _ in range(min(n, 64))]
        return torch.tensor(some, dtype=dtype).repeat(n // len(some) + 1)[:n].clone()


def targets() -> list[str]:
    """Return every overload of every operator that a file may call."""
    names = (name for base in sorted(OPERATORS) for name in (base, f"{base}_"))
    found = (
        f"torch.ops.aten.{name}.{overload}"
        for name in names
        if hasattr(torch.ops.aten, name)
        for overload in getattr(torch.ops.aten, name).overloads()
    )
    return [target for target in found if is_known(target)]


def call(guarded: Guarded, target: str, number: int) -> str:
    """Make one call, if it passes the checks, and say what came of it."""
    name, overload = target.split(".")[-2:]
    operator: OpOverload = getattr(getattr(torch.ops.aten, name), overload)
    caller = Caller(guarded, target, number)
    given = [(one, caller.argument(one)) for one in operator._schema.arguments]
    args = [value for one, value in given if not one.kwarg_only]
    kwargs = {one.name: value for one, value in given if one.kwarg_only}
    mode = FakeTensorMode(allow_fallback_kernels=False)
    try:
        fake = torch.utils._pytree.tree_map_only(torch.Tensor, mode.from_tensor, (args, kwargs))
        with torch.no_grad(), mode:
            check_call(operator, *fake)
            promised = list(tensors(operator(*fake[0], **fake[1])))
    except Exception:
        return "refused"
    if any(one.numel() > LARGEST for one in promised):
        return "large"
    try:
        with torch.no_grad():
            came = list(tensors(operator(*args, **kwargs)))
    except Exception:
        return "raised"
    same = [(one.dtype, tuple(one.shape)) for one in came] == [
        (one.dtype, tuple(one.shape)) for one in promised
    ]
    return "done" if same else "other sizes"


def tensors(value: Any) -> Iterator[torch.Tensor]:
    for one in value if isinstance(value, list | tuple) else (value,):
        if isinstance(one, torch.Tensor):
            yield one


def in_children(what: str, make: Callable[[int], str], numbers: range) -> tuple[Counter[str], list[Finding]]:
    """Do something by number, in a process forked from this one, and in another from the next number on when it dies.

    Parameters
    ----------
    make
        Says what came of it, in a word.
    """
    findings: list[Finding] = []
    counts: Counter[str] = Counter()
    number = numbers.start
    while number < numbers.stop and len(findings) < GIVEN_UP:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _one_by_one(make, range(number, numbers.stop), writing)
        os.close(writing)
        with os.fdopen(reading) as lines:
            said = [line.split(" ", 1) for line in lines.read().splitlines()]
        _, status = os.waitpid(child, 0)
        counts.update(outcome for _, outcome in said if outcome != BEGUN)
        number = int(said[-1][0]) + 1 if said else numbers.stop
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGPROF:
            findings.append(Finding(what, number - 1, signal.Signals(os.WTERMSIG(status)).name))
        elif os.WIFSIGNALED(status):
            counts["took too long"] += 1
    return counts, findings


def _one_by_one(make: Callable[[int], str], numbers: range, writing: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (4 * 2**30, 4 * 2**30))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        for number in numbers:
            os.write(writing, f"{number} {BEGUN}\n".encode())
            signal.setitimer(signal.ITIMER_PROF, SECONDS)  # the default for its signal is to end the process
            os.write(writing, f"{number} {make(number)}\n".encode())
    finally:
        os._exit(0)


def operators(chosen: Sequence[str], numbers: range) -> tuple[Counter[str], list[Finding]]:
    """Call each operator with arguments made up from the numbers, and print what is wrong as soon as it is found."""
    guarded, total, found = Guarded(), Counter[str](), list[Finding]()
    for number in range(20):
        call(guarded, "torch.ops.aten.cat.default", number)  # imports what every child would import again
    for target in chosen:
        counts, findings = in_children(target, partial(call, guarded, target), numbers)
        for one in findings:
            print(f"{one.what} call {one.number}: {one.by}", flush=True)
        if counts["other sizes"]:
            print(f"{target}: {counts['other sizes']} results of other sizes than its rule gives", flush=True)
        total += counts
        found += findings
    return total, found


def files(numbers: range) -> tuple[Counter[str], list[Finding]]:
    """Load and run files that were edited at random places."""
    with tempfile.TemporaryDirectory() as folder:
        made = save_many_kinds(Path(folder) / "model.pt2")
        load_model(made)  # imports what every child would import again
        counts, findings = in_children("edited file", partial(load_edited, made), numbers)
    for one in findings:
        print(f"{one.what} {one.number}: {one.by}", flush=True)
    return counts, findings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100, help="calls of each operator")
    parser.add_argument(
        "--first", type=int, default=0, help="number of the first call: others give other arguments"
    )
    parser.add_argument(
        "--only", default="", help="operators whose name has this (a regular expression) in it"
    )
    parser.add_argument("--files", type=int, default=100, help="edited files")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    chosen = [target for target in targets() if re.search(asked.only, target)]
    calls, by_calls = operators(chosen, range(asked.first, asked.first + asked.calls))
    print(f"{len(chosen)} operators, {told(calls)}: {len(by_calls)} ended their process", flush=True)
    edits, by_edits = files(range(asked.first, asked.first + asked.files))
    print(f"edited files, {told(edits)}: {len(by_edits)} ended their process")
    return 1 if by_calls or by_edits else 0


def told(counts: Counter[str]) -> str:
    which = ", ".join(f"{n:,} {outcome}" for outcome, n in counts.most_common())
    return f"{counts.total():,} tried ({which})"


if __name__ == "__main__":
    sys.exit(main())
