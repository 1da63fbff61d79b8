"""Many ranks give the numbers of one: gradients to rounding in float64, loss curves in float32."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from rsmtl.training.batchnorm import synchronised
from rsmtl.training.folder import LOG_NAME
from tests import forked
from tests.training.configs import tiny

PAIR = {"name": "landscape", "n_train": 2, "n_validation": 1, "n_test": 1, "size_px": 256, "pair": True}
FIFTY_STEPS = {"data": PAIR, "sampling": {"patch_px": 64, "patches_per_epoch": 400}, "epochs": 1, "batch": 8}
TORCHRUN = (
    sys.executable,
    "-m",
    "torch.distributed.run",
    "--rdzv-backend=c10d",
    "--rdzv-endpoint=localhost:0",
)


def torchrun(n_ranks: int, *words: object) -> str:
    """Run a module on ranks of this machine; return their standard output."""
    done = subprocess.run(
        [*TORCHRUN, f"--nproc-per-node={n_ranks}", "-m", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def ranks(folder: Path, n_ranks: int, *words: object) -> str:
    """Run a module on ranks without an agent; return the standard output of the first."""
    ended = forked.ranks(folder, n_ranks, *words)
    for one in ended:
        assert one.returncode == 0, one.stderr[-3000:]
    return ended[0].stdout


def curve(out: Path) -> list[float]:
    found = [json.loads(line) for line in (out / LOG_NAME).read_text().splitlines()]
    return [sum(line["loss"].values()) for line in found if line["kind"] == "step"]


@pytest.mark.cluster
@pytest.mark.parametrize("system", ["panseg", "urec", "dsrl", "srseg"])
def test_gradients_are_those_of_the_whole_batch(system: str, tmp_path: Path) -> None:
    """Three ranks share a batch of seven, unevenly, in float64, so that nothing but rounding may differ."""
    found = json.loads(ranks(tmp_path, 3, "tests.training.gradients", system))
    assert found["loss"] == pytest.approx(found["whole_loss"], rel=1e-6)  # losses are float32
    assert found["n_compared"] > 20
    assert found["worst"] < 1e-5


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.parametrize(
    ("system", "lr", "tolerance"),
    [("pannet", 1e-3, 1e-5), ("fusenet", 3e-5, 1e-4)],
    ids=["without batch normalisation", "with it, synchronised"],
)
def test_fifty_steps_of_one_rank_and_of_four(
    tmp_path: Path, system: str, lr: float, tolerance: float
) -> None:
    """A learning rate at which rounding does not grow: Adam makes whole steps of gradients that are mere rounding."""
    tiny(tmp_path / "c.yaml", system=system, model={}, optimizer={"lr": lr}, **FIFTY_STEPS)
    for n_ranks, name in ((1, "one"), (4, "four")):
        ranks(tmp_path / "said", n_ranks, "rsmtl", "train", tmp_path / "c.yaml", "--out", tmp_path / name)
    one, four = curve(tmp_path / "one"), curve(tmp_path / "four")
    assert len(one) == len(four) == 50
    assert max(abs(a / b - 1) for a, b in zip(one, four, strict=True)) < tolerance


@pytest.mark.slow
@pytest.mark.cluster
def test_two_ranks_interrupted_and_resumed_are_uninterrupted(tmp_path: Path) -> None:
    """Each rank gets the agent's signal; what is left to do gives the same bytes."""
    tiny(tmp_path / "c.yaml", epochs=2)
    words = ["rsmtl", "train", tmp_path / "c.yaml", "--data", tmp_path]
    torchrun(2, *words, "--out", tmp_path / "whole")
    agent = subprocess.Popen(
        [*TORCHRUN, "--nproc-per-node=2", "-m", *map(str, words), "--out", str(tmp_path / "run")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    log = tmp_path / "run" / LOG_NAME
    try:
        while agent.poll() is None and not (log.exists() and log.read_bytes().count(b"\n") >= 3):
            pass
    finally:
        agent.terminate()
        agent.wait(timeout=60)
    assert 3 <= len(curve(tmp_path / "run")) < 16
    torchrun(2, *words, "--out", tmp_path / "run", "--resume")
    assert curve(tmp_path / "run") == curve(tmp_path / "whole")
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (
        tmp_path / "whole" / "model.safetensors"
    ).read_bytes()


@pytest.mark.cluster
def test_micro_batches_are_the_same_for_any_number_of_ranks(tmp_path: Path) -> None:
    """Batch normalisation sees a micro-batch at a time, and micro-batches count all ranks."""
    tiny(tmp_path / "c.yaml", epochs=1, batch=8, micro_batch=4, optimizer={"lr": 1e-6})
    for n_ranks in (1, 2):
        ranks(
            tmp_path / "said",
            n_ranks,
            "rsmtl",
            "train",
            tmp_path / "c.yaml",
            "--out",
            tmp_path / str(n_ranks),
        )
    for one, two in zip(curve(tmp_path / "1"), curve(tmp_path / "2"), strict=True):
        assert one == pytest.approx(two, rel=1e-4)


@pytest.mark.cluster
def test_more_ranks_than_patches(tmp_path: Path) -> None:
    tiny(tmp_path / "c.yaml", batch=2)
    for done in forked.ranks(
        tmp_path / "said", 3, "rsmtl", "train", tmp_path / "c.yaml", "--out", tmp_path / "run"
    ):
        assert done.returncode != 0
        assert "a batch of 2 patches cannot be shared by 3 ranks: use fewer, or a larger batch" in done.stderr


@pytest.mark.parametrize("training", [True, False])
def test_alone_the_normalisation_is_that_of_torch(training: bool) -> None:
    torch.manual_seed(0)
    theirs = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)).double().train(training)
    ours = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)).double()
    ours.load_state_dict(theirs.state_dict())
    synchronised(ours.train(training), torch.device("cpu"))
    values = torch.rand(4, 3, 9, 9, dtype=torch.float64)
    for _ in range(3):
        expected, found = theirs(values), ours(values)
        assert torch.allclose(expected, found, atol=1e-10)
    expected.square().sum().backward()
    found.square().sum().backward()
    for one, other in zip(theirs.parameters(), ours.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, atol=1e-8)
    for name, value in theirs.state_dict().items():
        assert torch.allclose(value.double(), ours.state_dict()[name].double(), atol=1e-12), name
