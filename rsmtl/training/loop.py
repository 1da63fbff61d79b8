"""The training loop: steps, epochs, validation; the same on one rank and on many, interrupted or not."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from rsmtl.datasets import Patches, Splits
from rsmtl.errors import InputError, RunError
from rsmtl.losses import Term, loss_terms
from rsmtl.models import Card, save_checkpoint
from rsmtl.training.batchnorm import synchronised
from rsmtl.training.config import TrainConfig
from rsmtl.training.examples import Batch, Examples
from rsmtl.training.folder import BEST_NAME, PICTURES_NAME, STATE_NAME
from rsmtl.training.group import Group
from rsmtl.training.loader import Loader
from rsmtl.training.log import Log, Record
from rsmtl.training.optimizer import make_optimizer, set_learning_rate
from rsmtl.training.picture import N_WINDOWS, draw_predictions
from rsmtl.training.state import Progress, Trained, load_state, save_state
from rsmtl.training.stop import Stop
from rsmtl.training.validate import Validation, channels_last, forward, validation_score

LOADER_THREADS = 2


@dataclass(frozen=True)
class Task:
    """What is trained, on what, by which measure; nothing of it changes."""

    config: TrainConfig
    splits: Splits
    card: Card
    terms: tuple[Term, ...]
    validation: Validation


@dataclass(frozen=True)
class Where:
    """Where a training writes, whom it tells, and who may stop it."""

    out: Path
    group: Group
    stop: Stop
    checkpoint_s: float
    """Seconds between checkpoints within an epoch."""
    alive: Callable[[], None]
    """Called whenever something was done."""
    report: Callable[[Record], None]


@dataclass
class _Pace:
    """Images per second, and the share of the time that the model waited for data, since the loop began."""

    began: float = field(default_factory=time.perf_counter)
    n_images: int = 0

    def record(self, waited_s: float) -> Record:
        took = time.perf_counter() - self.began
        return {"images_per_s": self.n_images / took, "waiting": waited_s / took}


class Training:
    """A training under way."""

    def __init__(self, task: Task, where: Where, module: nn.Module) -> None:
        self.task, self.where = task, where
        group, config = where.group, task.config
        module = channels_last(module.to(group.device))
        if group.size > 1:
            module = synchronised(module, group.device)
        average = moving_average(module, config.ema) if config.ema else None
        self.trained = Trained(module, make_optimizer(config.optimizer, module), average)
        self.progress = Progress()
        self.n_steps = len(self._examples().patches) // config.batch
        """Of an epoch: whole batches; in the next epoch other patches are left over."""
        if (where.out / STATE_NAME).exists():
            self.progress = load_state(where.out / STATE_NAME, self.trained, self._fixed)
            _refuse_different(self.progress, group)
        judged: nn.Module = _Judged(module, task)
        if group.size > 1:
            judged = DistributedDataParallel(
                judged, broadcast_buffers=False, find_unused_parameters=len(task.terms) > len(self._chosen)
            )
        self.judged = judged
        self.log: Log | None = None

    def run(self) -> None:
        """Train to the end, or until somebody asks to stop.

        Raises
        ------
        RunError
            If the loss stops being finite, something cannot be written, or SIGTERM came.
        KeyboardInterrupt
            If Ctrl-C came; as with SIGTERM, the state is on the disk.
        """
        with ExitStack() as stack:
            if self.where.group.leads:
                self.log = Log(self.where.out, self.progress.log_bytes, self._steps_done)
                stack.callback(self.log.close)
            while self.progress.epoch < self.task.config.epochs and not self._out_of_patience:
                self._epoch()
                self._end_epoch()
                self._stop_if_asked(saved=True)

    def _epoch(self) -> None:
        """Take the steps of an epoch that are left."""
        self.trained.module.train()
        saved = time.perf_counter()
        todo = range(self.progress.step, self.n_steps)
        loader = Loader(
            self._examples().__getitem__,
            (share for step in todo for share, _ in self._micro_batches(step)),
            LOADER_THREADS,
            self.where.group.device,
        )
        batches, pace = iter(loader), _Pace()
        for step in todo:
            values, lr = self._step(step, batches)
            self.progress.step = step + 1
            for name, value in values.items():
                self.progress.losses[name] = self.progress.losses.get(name, 0.0) + value
            pace.n_images += self.task.config.batch
            self._tell_step(step, values, lr, pace.record(loader.waited_s))
            self._stop_if_asked(saved=False)
            if time.perf_counter() - saved > self.where.checkpoint_s:
                self._save()
                saved = time.perf_counter()

    def _step(self, step: int, batches: Iterator[Batch]) -> tuple[dict[str, float], float]:
        """Take one step; return its weighted loss terms and the learning rate."""
        config, trained = self.task.config, self.trained
        lr = set_learning_rate(
            trained.optimizer, config, self.progress.epoch * self.n_steps + step, self.n_steps
        )
        trained.optimizer.zero_grad()
        values: dict[str, float] = {}
        micro_batches = self._micro_batches(step)
        for number, (_, weight) in enumerate(micro_batches, start=1):
            last = number == len(micro_batches) or not isinstance(self.judged, DistributedDataParallel)
            with nullcontext() if last else self.judged.no_sync():  # type: ignore[operator]
                batch = next(batches)
                terms = loss_terms(self.task.terms, self._outputs(batch), batch, config.loss or None)
                total = torch.stack(list(terms.values())).sum() * weight
                for name, term in terms.items():
                    values[name] = values.get(name, 0.0) + weight * term.item()
                self._refuse_not_finite(step, values)
                total.backward()  # type: ignore[no-untyped-call]
        if config.optimizer.clip_norm is not None:
            nn.utils.clip_grad_norm_(trained.module.parameters(), config.optimizer.clip_norm)
        trained.optimizer.step()
        if isinstance(trained.average, AveragedModel):
            trained.average.update_parameters(trained.module)
        self.where.alive()
        return values, lr

    def _outputs(self, batch: Batch) -> dict[str, Tensor]:
        """Run the model; raise an `InputError` for what a batch normalisation cannot normalise."""
        try:
            outputs: dict[str, Tensor] = self.judged(batch)
        except ValueError as error:
            raise InputError(
                f"the model cannot be trained on batches of this size ({error}): make the batch, micro_batch or "
                "sampling.patch_px larger"
            ) from error
        return outputs

    def _micro_batches(self, step: int) -> list[tuple[range, float]]:
        """Return this rank's patches of each micro-batch of a step, and what share of the batch all ranks' are."""
        config, group = self.task.config, self.where.group
        n = n_micro_batches(config)
        whole = range(step * config.batch, (step + 1) * config.batch)
        cuts = [len(whole) * i // n for i in range(n + 1)]
        parts = [whole[a:b] for a, b in pairwise(cuts)]
        return [(group.share(part), len(part) / config.batch) for part in parts]

    def _refuse_not_finite(self, step: int, values: dict[str, float]) -> None:
        """Raise a `RunError` that names step, terms and patches; the terms are those of all ranks, so all raise it."""
        if all(map(math.isfinite, values.values())):
            return
        patches = self._examples().patches
        first = step * self.task.config.batch
        places = [str(patches.place(first + i)) for i in range(self.task.config.batch)]
        raise RunError(
            f"the loss is not finite in step {step} of epoch {self.progress.epoch}: "
            + ", ".join(f"{name} {value:g}" for name, value in values.items())
            + f"; its patches are {'; '.join(places)}; lower the learning rate or look at these data"
        )

    def _end_epoch(self) -> None:
        """Validate, keep the weights that the configuration asks for, write everything down."""
        progress, module = self.progress, self.kept
        found = self.task.validation.scores(
            module, self.task.splits.validation, self.where.group, self.where.alive
        )
        score = validation_score(found)
        losses = {name: value / self.n_steps for name, value in progress.losses.items()}
        record = {
            "kind": "epoch",
            "epoch": progress.epoch,
            "loss": losses,
            "validation": found,
            "score": score,
        }
        better = progress.best is None or score > progress.best
        if better:
            progress.best, progress.best_epoch = score, progress.epoch
        if self.log is not None:
            if better or self.task.config.keep == "last":
                training = {**self.task.card.training, "epoch": progress.epoch, "validation": found}
                card = self.task.card.model_copy(update={"training": training})
                save_checkpoint(self.where.out / BEST_NAME, module, card)
            self._draw(module)
            self.log.write(record)
            self.log.curves("epoch", {**losses, **found}, self._steps_done)
            self.log.flush()
            self.where.report(record)
        self.progress = Progress(progress.epoch + 1, 0, {}, progress.best, progress.best_epoch)
        self.where.alive()
        self._save()

    def _draw(self, module: nn.Module) -> None:
        assert self.log is not None
        validation = self.task.validation
        places = validation.places(self.task.splits.validation)
        chosen = [places[len(places) * i // N_WINDOWS] for i in range(min(N_WINDOWS, len(places)))]
        windows = next(iter(Loader(validation.example, [chosen], 1, self.where.group.device)))
        path = self.where.out / PICTURES_NAME / f"epoch-{self.progress.epoch:04}.png"
        draw_predictions(path, f"epoch {self.progress.epoch}", module, windows, validation)
        pixels = (matplotlib.image.imread(path)[..., :3] * 255).astype(np.uint8)
        self.log.picture("validation", pixels, self._steps_done)

    def _tell_step(self, step: int, values: dict[str, float], lr: float, pace: Record) -> None:
        if self.log is None:
            return
        epoch = self.progress.epoch
        place = {"epoch": epoch, "step": step, "n_steps": self.n_steps, "n_epochs": self.task.config.epochs}
        record = {"kind": "step", **place, "loss": values, "lr": lr, **pace}
        self.log.write(record)
        self.log.curves("step", {**values, "lr": lr, **pace}, epoch * self.n_steps + step)
        self.where.report(record)

    def _save(self) -> None:
        if self.log is not None:
            self.progress.log_bytes = self.log.length
            save_state(self.where.out / STATE_NAME, self.trained, self.progress, self._fixed)
        self.where.alive()

    def _stop_if_asked(self, saved: bool) -> None:
        """End the training, the state on the disk, if any rank was asked to stop."""
        if not self.where.group.any(self.where.stop.number is not None):
            return
        if not saved:
            self._save()
        at = f"step {self.progress.step} of epoch {self.progress.epoch}"
        self.where.stop.end(f"the training was stopped after {at}; go on with --resume")

    def _examples(self) -> Examples:
        config = self.task.config
        patches = Patches(self.task.splits.train, config.sampling, config.seed, self.progress.epoch)
        return Examples(patches, self.task.validation.feeding)

    @property
    def kept(self) -> nn.Module:
        """The module whose weights are validated and kept."""
        average = self.trained.average
        return average.module if isinstance(average, AveragedModel) else self.trained.module

    @property
    def _steps_done(self) -> int:
        return self.progress.epoch * self.n_steps + self.progress.step

    @property
    def _out_of_patience(self) -> bool:
        best, patience = self.progress.best_epoch, self.task.config.patience
        return patience is not None and best is not None and self.progress.epoch - best > patience

    @property
    def _chosen(self) -> Sequence[str]:
        return list(self.task.config.loss) or [term.name for term in self.task.terms]

    @property
    def _fixed(self) -> dict[str, Any]:
        """What must be the same for a state to be taken up."""
        return self.task.config.model_dump(mode="json")


class _Judged(nn.Module):
    """From a batch to the outputs that some term judges: DDP must not wait for gradients of the others."""

    def __init__(self, module: nn.Module, task: Task) -> None:
        super().__init__()
        self.module, self._task = module, task
        chosen = task.config.loss or {term.name: term.weight for term in task.terms}
        terms = [term for term in task.terms if term.name in chosen]
        self._needed = {name for term in terms for name in (term.output, term.target)}

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        outputs = forward(self.module, batch, self._task.card.spec, self._task.config.precision)
        return {name: values for name, values in outputs.items() if name in self._needed}


def n_micro_batches(config: TrainConfig) -> int:
    """Return in how many parts a batch goes through the model; whatever the number of ranks, so that theirs is one."""
    return -(-config.batch // (config.micro_batch or config.batch))


def moving_average(module: nn.Module, decay: float) -> AveragedModel:
    """Return a copy of a module whose weights and statistics follow it with inertia."""
    follow = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(module, multi_avg_fn=follow, use_buffers=True)


def _refuse_different(progress: Progress, group: Group) -> None:
    """Raise an `InputError` if ranks took up different states."""
    here = np.array([progress.epoch, progress.step, 1.0])
    if (group.sum(here) != here * group.size).any():
        raise InputError(
            f"the ranks found different states in the output folder (this one: epoch {progress.epoch}, step "
            f"{progress.step}): it must be on storage that all workers share"
        )
