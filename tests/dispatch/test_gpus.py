"""Each worker sees a GPU of its own, and has threads enough to keep it busy."""

import os
import signal
import threading

import pytest
import torch

from rsmtl.dispatch.gpus import gpu_cluster, gpus_for, listed, threads_of
from rsmtl.errors import PlanError


def _seen(_: int) -> tuple[int, str]:
    return os.getpid(), os.environ["CUDA_VISIBLE_DEVICES"]


def _meet(n: int) -> bool:
    """Whether so many threads of one worker run at the same time."""
    meeting = vars(threading).setdefault("_rsmtl_meeting", threading.Barrier(n, timeout=60))
    return bool(meeting.wait() >= 0)


@pytest.mark.cluster
def test_each_worker_sees_its_own_gpu_also_after_it_was_killed() -> None:
    with gpu_cluster(["3", "GPU-5a1c"]) as executor:
        assert executor.n_slots == 2 * threads_of(2)
        assert executor.slot_bytes > 2**26
        seen = executor.client.run(_seen, 0)
        assert sorted(gpu for _, gpu in seen.values()) == ["3", "GPU-5a1c"]
        assert os.getpid() not in {pid for pid, _ in seen.values()}
        for pid, _ in seen.values():
            os.kill(pid, signal.SIGKILL)
        assert executor.submit(_seen, 1).result()[1] in ("3", "GPU-5a1c")
        executor.client.wait_for_workers(2, timeout=60)
        again = executor.client.run(_seen, 0)
        assert sorted(gpu for _, gpu in again.values()) == ["3", "GPU-5a1c"]
        assert not {pid for pid, _ in seen.values()} & {pid for pid, _ in again.values()}


@pytest.mark.cluster
def test_jobs_of_a_worker_run_side_by_side() -> None:
    with gpu_cluster(["0"]) as executor:
        jobs = [executor.submit(_meet, executor.n_slots) for _ in range(executor.n_slots)]
        assert all(job.result() for job in jobs)


@pytest.mark.parametrize(
    ("visible", "n_gpus", "expected"),
    [
        (None, 2, ("0", "1")),
        (None, 0, ()),
        ("", 0, ()),
        ("2, 3", 2, ("2", "3")),
        ("GPU-5a1c,MIG-77", 2, ("GPU-5a1c", "MIG-77")),
        ("1,-1,0", 1, ("1",)),
    ],
)
def test_gpus_are_named_as_this_process_sees_them(
    visible: str | None, n_gpus: int, expected: tuple[str, ...]
) -> None:
    assert listed(visible, n_gpus) == expected


@pytest.mark.parametrize(("n_workers", "n_cores", "expected"), [(1, 4, 4), (1, 64, 8), (4, 8, 3), (2, 10, 5)])
def test_threads_share_the_cores(n_workers: int, n_cores: int, expected: int) -> None:
    assert threads_of(n_workers, n_cores) == expected


def test_more_workers_than_gpus_are_refused() -> None:
    n_gpus = torch.cuda.device_count()
    assert len(gpus_for(n_gpus)) == n_gpus
    with pytest.raises(
        PlanError, match=rf"{n_gpus + 1} worker\(s\) on CUDA need a GPU each, but PyTorch finds {n_gpus}"
    ):
        gpus_for(n_gpus + 1)


def _uses_cuda(_: int) -> tuple[int, float]:
    return torch.cuda.device_count(), float(torch.ones(3, device="cuda").sum())


@pytest.mark.cluster
@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_worker_computes_on_its_gpu() -> None:
    with gpu_cluster(gpus_for(1)) as executor:
        assert executor.submit(_uses_cuda, 0).result() == (1, 3.0)
