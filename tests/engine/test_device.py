"""Jobs take turns on a device, and a few at a time have arrays on it; on the CPU nobody waits."""

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from rsmtl.engine import device
from rsmtl.engine.device import LANES, Device, computing, lane, make_exact, to_device, to_host
from rsmtl.errors import RunError


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads take turns far more often than they usually do."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def most_inside(n_threads: int, block: Callable[[], object]) -> int:
    """How many threads were in a block at the same time, at most, when each of them went in many times."""
    inside, most = set[int](), [0]

    def work() -> None:
        for _ in range(300):
            with block():  # type: ignore[attr-defined]
                inside.add(threading.get_ident())
                most.append(len(inside))
                inside.discard(threading.get_ident())

    with ThreadPoolExecutor(n_threads) as pool:
        for job in [pool.submit(work) for _ in range(n_threads)]:
            job.result()
    return max(most)


@pytest.mark.usefixtures("hasty")
def test_one_job_computes_at_a_time() -> None:
    assert most_inside(6, Device("cpu").computing) == 1


@pytest.mark.usefixtures("hasty")
def test_no_more_jobs_than_lanes_have_arrays_on_a_device() -> None:
    assert most_inside(3 * LANES, Device("cpu").lane) <= LANES


def test_each_lane_is_taken_while_another_is_computing() -> None:
    here, together = Device("cpu"), threading.Barrier(LANES, timeout=60)

    def work(first: bool) -> None:
        with here.lane():
            if first:
                with here.computing():
                    together.wait()
            else:
                together.wait()

    with ThreadPoolExecutor(LANES) as pool:
        for job in [pool.submit(work, k == 0) for k in range(LANES)]:
            job.result()


def test_an_error_gives_lane_and_turn_back() -> None:
    here = Device("cpu")
    for _ in range(LANES + 1):
        with pytest.raises(ZeroDivisionError), here.lane(), here.computing():
            _ = 1 / 0
    assert most_inside(2, here.computing) == 1


def test_who_computes_may_compute() -> None:
    here = Device("cpu")
    with here.computing(), here.computing():
        pass


def test_there_is_one_order_for_all_threads() -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len({id(job.result()) for job in [pool.submit(device._device, "cpu") for _ in range(64)]}) == 1


def test_on_the_cpu_nobody_waits_and_nothing_is_copied() -> None:
    together = threading.Barrier(LANES + 1, timeout=60)

    def work() -> None:
        with lane("cpu"), computing("cpu"):
            together.wait()

    with ThreadPoolExecutor(LANES + 1) as pool:
        for job in [pool.submit(work) for _ in range(LANES + 1)]:
            job.result()
    values = torch.rand(3)
    assert to_device(values, "cpu") is values
    assert to_host(values) is values


def test_arrays_that_do_not_fit_are_a_sentence() -> None:
    with (
        pytest.raises(RunError, match=r"too little memory for the arrays of 3 chunks: use a smaller chunk"),
        lane("cpu"),
    ):
        raise torch.OutOfMemoryError("2 GiB")


@pytest.fixture
def flags() -> Iterator[None]:
    """What is set of PyTorch's is set back."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32
    yield
    cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32 = before


@pytest.mark.usefixtures("flags")
def test_a_gpu_computes_float32_in_full_and_the_same_each_time() -> None:
    torch.backends.cudnn.benchmark = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cuda.matmul.allow_tf32 = True
    make_exact("cpu")
    assert torch.backends.cudnn.benchmark
    make_exact("cuda")
    assert not torch.backends.cudnn.benchmark
    assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.allow_tf32
    for part in (torch.backends.cudnn.conv, torch.backends.cudnn.rnn, torch.backends.cuda.matmul):
        assert part.fp32_precision in ("ieee", "none")
    with torch.backends.cudnn.flags(enabled=True):  # which the newer names would break
        pass


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_what_is_sent_computed_and_fetched_by_many_threads_is_right() -> None:
    def work(seed: int) -> bool:
        values = torch.rand(3, 512, 512, generator=torch.Generator().manual_seed(seed))
        with lane("cuda"):
            there = to_device(values, "cuda")
            total = torch.zeros(there.shape, device="cuda")
            with computing("cuda"):
                for _ in range(50):
                    total += there * 2
            return torch.equal(to_host(total[:, 5:300, 7:]), (values * 100)[:, 5:300, 7:])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(64)))
