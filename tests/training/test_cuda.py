"""Training on CUDA: one rank, and one rank of NCCL."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rsmtl.models import load_model
from rsmtl.training import evaluate_checkpoint, train
from tests.training.configs import tiny

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_trains_and_the_cpu_scores_it_alike(tmp_path: Path, precision: str) -> None:
    path = train(tiny(precision=precision), tmp_path / "run", tmp_path, device="cuda")
    assert load_model(path).spec.system == "urec"
    on_cpu, on_cuda = (
        evaluate_checkpoint(path, tmp_path, device=device)["test"]["segmentation"]
        for device in ("cpu", "cuda")
    )
    assert on_cpu["overall_accuracy"] == pytest.approx(on_cuda["overall_accuracy"], abs=0.01)


def test_a_rank_of_nccl(tmp_path: Path) -> None:
    tiny(tmp_path / "c.yaml", epochs=1)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=1", "--rdzv-backend=c10d"]
    words = [
        "-m",
        "rsmtl",
        "train",
        str(tmp_path / "c.yaml"),
        "--out",
        str(tmp_path / "run"),
        "--device",
        "cuda",
    ]
    subprocess.run([*command, "--rdzv-endpoint=localhost:0", *words], check=True, timeout=200)
    assert (tmp_path / "run" / "model.safetensors").exists()
