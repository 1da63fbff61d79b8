"""The optimiser of a configuration, and its learning rates over time."""

import math

from torch import nn
from torch.optim import Adam, AdamW, Optimizer

from rsmtl.errors import InputError
from rsmtl.training.config import OptimizerConfig, PartOptimizer, TrainConfig

_OPTIMIZERS: dict[str, type[Adam]] = {"adam": Adam, "adamw": AdamW}


def check_parts(config: OptimizerConfig, module: nn.Module) -> None:
    """Raise an `InputError` if the model has no part that is named."""
    there = {name.split(".")[0] for name, _ in module.named_parameters()}
    for part in config.parts:
        if part not in there:
            raise InputError(
                f"the model has no part {part!r} for `optimizer.parts`: its parts are {', '.join(sorted(there))}"
            )


def make_optimizer(config: OptimizerConfig, module: nn.Module) -> Optimizer:
    """Return the optimiser, with a group of parameters for each part that is named, and one for the rest.

    Adam treats each parameter by itself, so groups of one optimiser are what an optimiser for each part would be.
    """
    named = dict(module.named_parameters())
    groups = []
    for part, settings in [*config.parts.items(), ("", PartOptimizer())]:
        members = [
            parameter
            for name, parameter in named.items()
            if (name.split(".")[0] if name.split(".")[0] in config.parts else "") == part
        ]
        own = {key: value for key, value in settings.model_dump().items() if value is not None}
        decay_epochs = own.pop("decay_epochs", config.decay_epochs)
        if members:
            groups.append({"params": members, **own, "decay_epochs": decay_epochs})
    optimizer = _OPTIMIZERS[config.name](
        groups, lr=config.lr, betas=config.betas, weight_decay=config.weight_decay
    )
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer


def set_learning_rate(optimizer: Optimizer, config: TrainConfig, step: int, steps_per_epoch: int) -> float:
    """Give each group the rate with which a step, counted from 0, is taken; return that of the last group."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * lr_factor(config, group["decay_epochs"], step, steps_per_epoch)
    return float(optimizer.param_groups[-1]["lr"])


def lr_factor(config: TrainConfig, decay_epochs: tuple[int, ...], step: int, steps_per_epoch: int) -> float:
    """Return the share of the learning rate with which a step, counted from 0, is taken."""
    epoch = step // steps_per_epoch + 1
    decay = float(0.1 ** sum(epoch >= first for first in decay_epochs))
    if config.optimizer.schedule == "constant":
        return decay
    return decay * (1 + math.cos(math.pi * step / (config.epochs * steps_per_epoch))) / 2
