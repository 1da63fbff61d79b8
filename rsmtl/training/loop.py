"""Training, in one process: epochs of steps, validation after each, the best weights kept."""

import json
import math
import time
from collections import defaultdict
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.utils.data import DataLoader

from rsmtl.datasets import LabelledScene, Patches, Splits, load_splits
from rsmtl.errors import InputError, RunError
from rsmtl.losses import loss_terms
from rsmtl.models import Card, find_system, load_model, read_card, save_checkpoint, system_config
from rsmtl.training.config import TrainConfig, read_config
from rsmtl.training.evaluate import channels_last, evaluate, forward

Record = dict[str, Any]


def train(
    config: TrainConfig | str | Path,
    out: str | Path,
    data_root: str | Path,
    *,
    report: Callable[[Record], None] = lambda record: None,
) -> Path:
    """Train a model.

    `out` receives `log.jsonl` (a line per epoch), `best.safetensors` (the epoch with the best mean IoU on the
    validation split, at any time a whole file) and in the end `model.safetensors`, whose kernels have the
    storage precision of the configuration and whose card holds the scores on validation and test split.

    Parameters
    ----------
    config
        A configuration, the name of a preset, or the path of a YAML file.
    out
        Folder for the results; must not hold those of another training.
    data_root
        Folder that holds the data sets (`dubai/` …).
    report
        Called with each line of the log.

    Returns
    -------
    Path
        `model.safetensors`.

    Raises
    ------
    InputError
        If the configuration, the data or `out` are wrong; nothing was trained.
    RunError
        If the loss stops being finite.
    """
    config = config if isinstance(config, TrainConfig) else read_config(config)
    torch.set_num_threads(config.torch_threads)
    torch.manual_seed(config.seed)
    splits = load_splits(config.data, Path(data_root))
    module, card = build(config, splits)
    out = _fresh_folder(Path(out))

    module = channels_last(module)
    optimizer = Adam(module.parameters(), lr=config.lr)
    steps_per_epoch = math.ceil(config.sampling.patches_per_epoch / config.batch)
    scheduler = LambdaLR(optimizer, lambda step: lr_factor(config, step, steps_per_epoch))

    best = -math.inf
    for epoch in range(config.epochs):
        began = time.monotonic()
        losses = train_epoch(module, optimizer, scheduler, config, splits, epoch)
        found = score(module, splits.validation, config, splits)
        record = {"epoch": epoch, "loss": losses, "validation": found, "seconds": time.monotonic() - began}
        with (out / "log.jsonl").open("a") as log:
            log.write(json.dumps(record) + "\n")
        report(record)
        if (found["mean_iou"] or 0.0) > best:
            best = found["mean_iou"] or 0.0
            training = {**card.training, "epoch": epoch, "validation": found}
            save_checkpoint(out / "best.safetensors", module, card.model_copy(update={"training": training}))
    return finish(out, config, splits)


def build(config: TrainConfig, splits: Splits) -> tuple[nn.Module, Card]:
    """Return the module with fresh weights, and the card that says what it is."""
    system = find_system(config.system)
    known = {"in_channels": len(splits.bands), "n_classes": len(splits.classes)}
    model_config = system_config(system, {**config.model, **known})
    spec = system.make_spec(
        model_config,
        bands={"image": splits.bands},
        classes=splits.classes,
        radiometry={"image": splits.radiometry},
    )
    if config.sampling.patch_px % spec.divisor or config.validation_px % spec.divisor:
        raise InputError(
            f"{config.system} needs edges that are multiples of {spec.divisor}: got sampling.patch_px "
            f"{config.sampling.patch_px} and validation_px {config.validation_px}"
        )
    training = {"rsmtl": version("rsmtl"), "torch": torch.__version__, "config": config.model_dump()}
    return system.build(model_config), Card(config=model_config.model_dump(), spec=spec, training=training)


def train_epoch(
    module: nn.Module,
    optimizer: Optimizer,
    scheduler: LRScheduler,
    config: TrainConfig,
    splits: Splits,
    epoch: int,
) -> dict[str, float]:
    """Take one pass over the epoch's patches; return the mean of each weighted loss term."""
    module.train()
    system = find_system(config.system)
    judged = system.terms(system_config(system, config.model))
    sums: dict[str, float] = defaultdict(float)
    loader = DataLoader(Patches(splits.train, config.sampling, config.seed, epoch), batch_size=config.batch)
    for step, batch in enumerate(loader):
        outputs = forward(module, batch["image"], config.precision)
        terms = loss_terms(judged, outputs, batch, config.loss or None)
        total = torch.stack(list(terms.values())).sum()
        values = {name: term.item() for name, term in terms.items()}
        if not torch.isfinite(total):
            raise RunError(
                f"the loss is not finite in step {step} of epoch {epoch}: "
                + ", ".join(f"{name} {value:g}" for name, value in values.items())
                + "; lower the learning rate or look at the data"
            )
        optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        scheduler.step()
        for name, value in values.items():
            sums[name] += value / len(loader)
    return dict(sums)


def finish(out: Path, config: TrainConfig, splits: Splits) -> Path:
    """Write the best weights as they will be used, with the scores that they have in that form."""
    best, path = out / "best.safetensors", out / "model.safetensors"
    card = read_card(best)
    save_checkpoint(path, load_model(best).module, card, config.storage)
    module = channels_last(load_model(path).module)
    found = {"validation": score(module, splits.validation, config, splits)}
    found["test"] = score(module, splits.test, config, splits)
    final = card.model_copy(update={"training": {**card.training, **found}})
    save_checkpoint(path, module, final, config.storage)
    return path


def score(
    module: nn.Module, scenes: tuple[LabelledScene, ...], config: TrainConfig, splits: Splits
) -> dict[str, Any]:
    """Evaluate a module on scenes of a data set as the configuration says."""
    names = tuple(c.name for c in splits.classes)
    return evaluate(module, scenes, names, window_px=config.validation_px, precision=config.precision)


def lr_factor(config: TrainConfig, step: int, steps_per_epoch: int) -> float:
    """Return the share of the learning rate with which a step, counted from 0, is taken."""
    epoch = step // steps_per_epoch + 1
    decay = 0.1 ** sum(epoch >= first for first in config.decay_epochs)
    if config.schedule == "constant":
        return decay
    return decay * (1 + math.cos(math.pi * step / (config.epochs * steps_per_epoch))) / 2


def _fresh_folder(out: Path) -> Path:
    """Make the folder, and refuse one in which a training already wrote: its log would mix with ours."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {out}: {error.strerror}") from error
    if (out / "log.jsonl").exists():
        raise InputError(f"{out} holds another training (log.jsonl): choose another folder or remove it")
    return out
