"""Gradients of a batch that ranks share, against those of the whole batch in one process; prints JSON on rank 0.

torchrun … -m tests.training.gradients SYSTEM
"""

import copy
import json
import sys
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from rsmtl.losses import loss_terms
from rsmtl.models import find_system, system_config
from rsmtl.training.batchnorm import synchronised

SIZES: dict[str, dict[str, Any]] = {
    "panseg": {"width": 2},
    "urec": {"width": 2},
    "dsrl": {"width": 2},
    "srseg": {"features": 4, "sr_width": 2, "n_stages": 2, "width": 2, "scale": 2},
}
N, PX = 7, 64
LEAST = 1e-9
"""Gradients below are rounding: biases before a normalisation have none."""


def batch_for(system: str) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)

    def rand(*shape: int) -> Tensor:
        return torch.rand(N, *shape, generator=generator, dtype=torch.float64)

    fine = 2 * PX if system in ("dsrl", "srseg") else PX
    labels = torch.randint(0, 2 if system == "panseg" else 6, (N, fine, fine), generator=generator)
    labels[2, : fine // 2] = 255  # so that ranks count unequally many pixels
    return {
        "image": rand(3, PX, PX),
        "pan": rand(1, PX, PX),
        "ms": rand(3, PX // 4, PX // 4),
        "hrms": rand(3, PX, PX),
        "sr": rand(3, fine, fine),
        "segmentation": labels,
    }


def loss_of(module: nn.Module, system: str, batch: dict[str, Tensor]) -> Tensor:
    inputs = ("pan", "ms") if system == "panseg" else ("image",)
    terms = find_system(system).terms(system_config(find_system(system), SIZES[system]))
    outputs = module(*(batch[name] for name in inputs))
    return torch.stack(list(loss_terms(terms, outputs, batch).values())).sum()


def main(system: str) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    found = find_system(system)
    module = found.build(system_config(found, SIZES[system])).double().train()
    whole, batch = copy.deepcopy(module), batch_for(system)
    expected = loss_of(whole, system, batch)
    expected.backward()

    dist.init_process_group("gloo")
    rank, size = dist.get_rank(), dist.get_world_size()
    shared = DistributedDataParallel(synchronised(module, torch.device("cpu")), broadcast_buffers=False)
    total = loss_of(shared, system, {name: values[rank::size] for name, values in batch.items()})
    total.backward()
    if rank == 0:
        pairs = [
            (one.grad, other.grad)
            for one, other in zip(whole.parameters(), module.parameters(), strict=True)
            if one.grad is not None and one.grad.abs().max() > LEAST
        ]
        worst = max(float((a - b).abs().max() / a.abs().max()) for a, b in pairs)
        result = {
            "loss": total.item(),
            "whole_loss": expected.item(),
            "n_compared": len(pairs),
            "worst": worst,
        }
        print(json.dumps(result))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
