from importlib import import_module
from importlib.util import find_spec

import pytest

from rsmtl.engine.product import write
from rsmtl.models.checkpoint import load_model
from rsmtl.scene.open import open_scene
from tests.benchmarks import peers
from tests.benchmarks.overhead import SETTINGS, landscape
from tests.benchmarks.peer_runs.job import MODEL, Took

SIZE_PX = 900


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    folder = tmp_path_factory.mktemp("peers")
    scene = landscape(folder, SIZE_PX)
    write(open_scene(scene), load_model(MODEL), folder / peers.OURS, SETTINGS)
    return scene


@pytest.mark.parametrize("is_equal", [True, False])
@pytest.mark.parametrize("peer", peers.PEERS)
def test_peers_do_the_same_job(ours, tmp_path, peer, is_equal):
    package = peers.PEERS[peer][1]
    if package and not find_spec(package):
        pytest.skip(f"{package} is not installed")
    (tmp_path / peers.OURS).symlink_to(ours.parent / peers.OURS)
    job = peers.job_of(ours, tmp_path / peer, n_threads=1, is_equal=is_equal)
    with import_module(f"tests.benchmarks.peer_runs.{peer}").prepared(job) as run:
        run()
    assert peers.equal_classes(tmp_path, peer) > 0.95


def test_the_fastest_and_the_leanest_are_those_that_did_the_job(capsys):
    rounds = [
        {
            peers.OURS: Took(stored_s=2, wall_s=4, cpu_s=8, peak_bytes=2**20),
            "by_monai": Took(stored_s=6 + n, wall_s=6 + n, cpu_s=8, peak_bytes=4 * 2**20),
            "by_toolbelt": Took(stored_s=8, wall_s=8, cpu_s=8, peak_bytes=2 * 2**20),
            "by_grid_loop": "OSError: the disk is full",
        }
        for n in (0, 1, 0)
    ]
    found = list(peers.time_rows(True, rounds, {"by_monai": 0.5, "by_toolbelt": 0.5}))
    found += peers.memory_rows(rounds, 8192)
    assert [(row.ratio, row.aim) for row in found] == [
        (3, ""),
        (4, ""),
        (3, "≥ 1.2"),
        (1.5, "≥ 1.2"),
        (0.25, ""),
        (0.5, ""),
        (0.5, "≤ 0.2"),
    ]
    assert "MONAI" in found[2].what
    assert "pytorch-toolbelt" in found[-1].what
    assert "TorchGeo-style loop fails: OSError: the disk is full" in capsys.readouterr().out
