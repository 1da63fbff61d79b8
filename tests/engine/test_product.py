"""`write`: the same bits whoever runs the jobs, nothing run twice, nothing lost when somebody dies."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import numpy as np
import pytest
from distributed import Client, LocalCluster

from rsmtl.config import Settings
from rsmtl.dispatch import ClusterExecutor, local_cluster, threads
from rsmtl.dispatch.forked import forked_workers
from rsmtl.engine.drain import Progress, drain
from rsmtl.engine.executor import SerialExecutor
from rsmtl.engine.jobs import finish_job
from rsmtl.engine.lazy import predict
from rsmtl.engine.plan import plan
from rsmtl.engine.product import write
from rsmtl.errors import PlanError, ResumeError, RunError
from rsmtl.lattice import Lattice
from rsmtl.models.checkpoint import load_model
from rsmtl.scene.open import open_scene
from rsmtl.scene.scene import Scene
from rsmtl.store import folder as store_folder
from rsmtl.store.ledger import Ledger
from rsmtl.store.provenance import read_run
from rsmtl.store.zarr import create_store, open_product
from tests import fakes

SETTINGS = Settings(window=64, overlap=16, chunk=2, heads=fakes.UREC_HEADS)
SIZE = 310, 430


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return open_scene(fakes.ragged_tiff(tmp_path_factory.mktemp("scene") / "ragged.tif", *SIZE))


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fakes.random_checkpoint(tmp_path_factory.mktemp("model") / "random.safetensors")


@pytest.fixture(scope="module")
def model(model_path: Path):
    return load_model(model_path)


def digest(folder: Path) -> str:
    """One sha256 of every output in the store."""
    found = {}
    for group in open_product(folder).values():
        for name, array in group.data_vars.items():
            found[name] = hashlib.sha256(np.ascontiguousarray(array.values)).hexdigest()
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


@pytest.fixture(scope="module")
def undisturbed(scene: Scene, model, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, int]:
    """Digest of the product and windows run, by one process in one go."""
    product = write(scene, model, tmp_path_factory.mktemp("undisturbed"), SETTINGS)
    return digest(product.folder), product.windows_run


def executors() -> dict[str, Callable[[], object]]:
    return {
        "serial": lambda: nullcontext(SerialExecutor()),
        "2 threads": lambda: threads(2),
        "4 threads": lambda: threads(4),
        "1 process": lambda: local_cluster(1),
        "2 processes": lambda: local_cluster(2),
        "4 processes": lambda: local_cluster(4),
    }


def marked(name: str) -> object:
    return pytest.param(name, marks=pytest.mark.cluster) if "process" in name else name


@pytest.mark.parametrize("name", [marked(name) for name in executors()])
def test_the_bits_do_not_depend_on_who_runs_the_jobs(name, scene, model, undisturbed, tmp_path: Path) -> None:
    with executors()[name]() as executor:
        for chunk in (1, 2, 3, 5) if name == "serial" else (1, 3):
            product = write(
                scene,
                model,
                tmp_path / str(chunk),
                SETTINGS.model_copy(update={"chunk": chunk}),
                executor=executor,
            )
            assert (digest(product.folder), product.windows_run) == undisturbed


def test_the_bits_do_not_depend_on_the_order_of_chunks(scene, model, undisturbed, tmp_path: Path) -> None:
    made = plan(scene, model, SETTINGS)
    for seed in range(3):
        folder = tmp_path / str(seed)
        Ledger(folder).open(made.fingerprint)
        create_store(folder, made.outputs, made.geobox, made.lattice.y.chunk_px)
        order = random.Random(seed).sample(made.chunks, len(made.chunks))
        with threads(3) as executor:
            drain(made, folder, executor, lambda _: None, order)
        assert digest(folder) == undisturbed[0]
        assert not list((folder / "ledger" / "partials").rglob("*.npz"))


def test_the_lazy_dataset_and_the_stored_product_agree(scene, model, tmp_path: Path) -> None:
    product = write(scene, model, tmp_path, SETTINGS)
    lazy = predict(scene, model, SETTINGS).compute(scheduler="threads")
    (stored,) = open_product(product.folder).values()
    np.testing.assert_array_equal(stored.segmentation.values[0], lazy.segmentation.values)
    np.testing.assert_array_equal(stored.reconstruction.values, lazy.reconstruction.values)


def test_an_interrupted_run_is_finished_as_it_was_chosen(scene, model, undisturbed, tmp_path: Path) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.chunks_done:
            raise KeyboardInterrupt

    for again in ({"resume": True}, {"resume": True, "overwrite": True}):
        with pytest.raises(KeyboardInterrupt):
            write(scene, model, tmp_path, SETTINGS, overwrite=True, on_progress=interrupt)
        product = write(scene, model, tmp_path, Settings(heads=fakes.UREC_HEADS), **again)
        assert (digest(product.folder), product.n_windows) == undisturbed
        assert 0 < product.windows_run < product.n_windows
    for anew in ({}, {"resume": True}):
        product = write(scene, model, tmp_path, overwrite=True, **anew)
        assert read_run(product.folder).settings["window"] == 448  # as a scene of this size gets by itself


def test_windows_run_are_those_with_a_valid_pixel(scene, model, undisturbed) -> None:
    invalid = fakes.ragged_nodata(*SIZE)
    lattice = Lattice(*SIZE, 64, 16)
    windows = [w for chunk in lattice.chunks() for w in lattice.windows_of(chunk)]
    assert undisturbed[1] == sum(not invalid[w.y.slice, w.x.slice].all() for w in windows) < len(windows)


def test_a_finished_product_is_left_as_it_is(scene, model, tmp_path: Path) -> None:
    first = write(scene, model, tmp_path, SETTINGS)
    before = (first.folder / "item.json").stat().st_mtime_ns
    again = write(scene, model, tmp_path, SETTINGS)
    assert again.reused
    assert again.windows_run == 0
    assert again.n_windows == first.n_windows
    assert (first.folder / "item.json").stat().st_mtime_ns == before


def test_overwriting_starts_anew(scene, model, tmp_path: Path) -> None:
    first = write(scene, model, tmp_path, SETTINGS)
    again = write(scene, model, tmp_path, SETTINGS.model_copy(update={"chunk": 3}), overwrite=True)
    assert again.windows_run == first.windows_run
    assert digest(again.folder) == digest(first.folder)


class Interrupted(Exception):
    """Raised by a test in the middle of a run."""


def interrupt_after(n_chunks: int) -> Callable[[Progress], None]:
    def on_progress(progress: Progress) -> None:
        if progress.chunks_done == n_chunks:
            raise Interrupted

    return on_progress


def test_an_interrupted_run_is_refused_and_resumed(scene, model, undisturbed, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        write(scene, model, tmp_path, SETTINGS, on_progress=interrupt_after(4))
    assert not list(tmp_path.glob("*/item.json"))
    with pytest.raises(ResumeError, match="--resume"):
        write(scene, model, tmp_path, SETTINGS)
    product = write(scene, model, tmp_path, SETTINGS, resume=True)
    assert digest(product.folder) == undisturbed[0]
    assert product.windows_run < undisturbed[1]
    assert product.n_windows == undisturbed[1]


@pytest.mark.parametrize(
    ("change", "said"), [({"window": 96, "chunk": 2}, "window was 64 and is 96"), ({}, "model was")]
)
def test_resuming_another_run_is_refused_with_the_reason(change, said, scene, model, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        write(scene, model, tmp_path, SETTINGS, on_progress=interrupt_after(2))
    other = model if change else fakes.random_urec(seed=1, high=2047)
    with pytest.raises(ResumeError, match=said):
        write(scene, other, tmp_path, SETTINGS.model_copy(update=change), resume=True)


@contextmanager
def cluster_of_two() -> Iterator[tuple[ClusterExecutor, Client]]:
    with (
        forked_workers(),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield ClusterExecutor(client), client


@pytest.mark.cluster
def test_a_worker_killed_in_mid_scene_costs_nothing_but_its_jobs(
    scene, model, undisturbed, tmp_path: Path
) -> None:
    with cluster_of_two() as (executor, client):
        victim = next(iter(client.run(os.getpid).values()))

        def kill(progress: Progress) -> None:
            if progress.chunks_done == 2:
                with suppress(ProcessLookupError):  # it may be said twice
                    os.kill(victim, signal.SIGKILL)

        product = write(scene, model, tmp_path, SETTINGS, executor=executor, on_progress=kill)
        assert victim not in client.run(os.getpid).values()
    assert digest(product.folder) == undisturbed[0]
    assert product.n_windows == undisturbed[1]


RUN = """
import sys
from pathlib import Path
from rsmtl import Settings, load_model, open_scene, write
say = lambda progress: print(progress.chunks_done, flush=True)
settings = Settings.model_validate_json(sys.argv[4])
write(open_scene(sys.argv[1]), load_model(sys.argv[2]), Path(sys.argv[3]), settings, on_progress=say)
"""


def test_a_run_killed_as_a_whole_is_resumed(scene, model, model_path, undisturbed, tmp_path: Path) -> None:
    words = [scene.opened_with["source"], str(model_path), str(tmp_path), SETTINGS.model_dump_json()]
    with subprocess.Popen([sys.executable, "-c", RUN, *words], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if int(line) == 3:
                process.kill()
    assert process.returncode == -signal.SIGKILL
    finished = Ledger(tmp_path / scene.id).done()
    assert len(finished) >= 3
    product = write(scene, model, tmp_path, SETTINGS, resume=True)
    assert digest(product.folder) == undisturbed[0]
    assert product.windows_run + sum(r.windows_run for r in finished.values()) <= undisturbed[1]
    assert product.n_windows == undisturbed[1]


def test_a_torn_file_of_sums_is_computed_again(scene, model, undisturbed, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        write(scene, model, tmp_path, SETTINGS, on_progress=interrupt_after(4))
    torn = sorted((tmp_path / scene.id / "ledger" / "partials").rglob("*.npz"))
    assert torn
    for file in torn:
        content = bytearray(file.read_bytes())
        content[len(content) // 2 : len(content) // 2 + 4096] = bytes(4096)
        file.write_bytes(content)
    product = write(scene, model, tmp_path, SETTINGS, resume=True)
    assert digest(product.folder) == undisturbed[0]


def test_a_plan_that_cannot_fit_is_refused_before_anything_is_written(scene, model, tmp_path: Path) -> None:
    class Tiny(SerialExecutor):
        slot_bytes = 2**20

    with pytest.raises(PlanError, match=r"one job is projected to need .* MiB and a worker has 1 MiB"):
        write(scene, model, tmp_path, SETTINGS, executor=Tiny())
    assert not list(tmp_path.iterdir())


def test_a_run_killed_while_it_removes_the_old_product_starts_anew(
    scene, model, tmp_path, monkeypatch
) -> None:
    product = write(scene, model, tmp_path, SETTINGS)
    remove = store_folder.remove

    def die_after_the_store(path: Path) -> None:
        remove(path)
        if path.name == "product.zarr":
            raise Interrupted

    monkeypatch.setattr(store_folder, "remove", die_after_the_store)
    with pytest.raises(Interrupted):
        write(scene, model, tmp_path, SETTINGS, overwrite=True)
    monkeypatch.undo()
    again = write(scene, model, tmp_path, SETTINGS, resume=True)
    assert again.windows_run == product.windows_run


def test_a_late_job_of_an_interrupted_run_leaves_the_next_run_alone(scene, model, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        write(scene, model, tmp_path, SETTINGS, on_progress=interrupt_after(2))
    late = plan(scene, model, SETTINGS)
    other = fakes.random_urec(seed=1, high=2047)
    expected = digest(write(scene, other, tmp_path / "other", SETTINGS).folder)
    folder = tmp_path / scene.id
    with pytest.raises(Interrupted):
        write(scene, other, tmp_path, SETTINGS, overwrite=True, on_progress=interrupt_after(2))
    chunk = (3, 3)
    with pytest.raises(RunError, match="another run has taken over"):
        finish_job(late, folder, chunk)
    write(scene, other, tmp_path, SETTINGS, resume=True)
    assert digest(folder) == expected


@pytest.mark.parametrize(
    ("workers", "where"),
    [
        pytest.param(lambda: local_cluster(1), "on a worker, which was restarted", marks=pytest.mark.cluster),
        (lambda: threads(1), "in a thread, which"),
    ],
)
def test_a_job_that_hangs_is_given_up(workers, where: str, tmp_path: Path) -> None:
    scene = fakes.make_scene(fakes.numbered(40, 40))
    settings = Settings(window=64, overlap=0)
    with workers() as executor:
        said = rf"chunk \(0, 0\) was still being worked on after 3 s {where}.*: a file or its server may hang"
        with pytest.raises(RunError, match=said):
            write(scene, fakes.hanging(), tmp_path, settings, executor=executor, job_limit_s=3)
        again = write(scene, fakes.identity(), tmp_path, settings, executor=executor, overwrite=True)
    assert again.windows_run == 1


def test_the_same_run_at_the_same_time_is_refused_and_finds_the_product_afterwards(
    scene, model, tmp_path
) -> None:
    refused: list[str] = []

    def again(progress: Progress) -> None:
        if not refused:
            with pytest.raises(RunError, match="is at work on") as said:
                write(scene, model, tmp_path, SETTINGS, resume=True)
            refused.append(str(said.value))

    write(scene, model, tmp_path, SETTINGS, on_progress=again)
    assert f"process {os.getpid()} on" in refused[0]
    assert write(scene, model, tmp_path, SETTINGS).reused
