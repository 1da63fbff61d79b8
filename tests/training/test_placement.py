"""Which GPUs go to which worker."""

from rsmtl.training.placement import Seat, place


def test_without_gpus_each_worker_has_one_rank() -> None:
    assert place({"a": Seat("x", ()), "b": Seat("x", ()), "c": Seat("y", ())}) == {"a": (), "b": (), "c": ()}


def test_a_worker_alone_on_its_host_takes_all() -> None:
    assert place({"a": Seat("x", ("0", "1", "2", "3"))}) == {"a": ("0", "1", "2", "3")}


def test_dask_cuda_shows_each_worker_its_own_first() -> None:
    workers = {f"w{i}": Seat("x", tuple(str((i + k) % 4) for k in range(4))) for i in range(4)}
    assert place(workers) == {f"w{i}": (str(i),) for i in range(4)}


def test_workers_that_see_the_same_deal_it_out() -> None:
    workers = {name: Seat("x", ("0", "1", "2", "3")) for name in ("a", "b")}
    assert place(workers) == {"a": ("0", "2"), "b": ("1", "3")}


def test_names_of_cuda_are_kept() -> None:
    assert place({"a": Seat("x", ("GPU-1f", "GPU-2e")), "b": Seat("y", ("7",))}) == {
        "a": ("GPU-1f", "GPU-2e"),
        "b": ("7",),
    }


def test_workers_come_by_host() -> None:
    workers = {"a": Seat("y", ()), "b": Seat("x", ()), "c": Seat("y", ()), "d": Seat("x", ())}
    assert list(place(workers)) == ["b", "d", "a", "c"]
