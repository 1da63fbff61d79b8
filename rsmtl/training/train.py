"""`train`: from a configuration and data to a checkpoint."""

import faulthandler
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from rsmtl.datasets import LabelledScene, Splits, check_sampling, load_splits
from rsmtl.datasets.reduced import wald
from rsmtl.errors import InputError
from rsmtl.losses import Term, with_class_weights
from rsmtl.models import Card, ModelSpec, find_system, load_model, read_card, save_checkpoint, system_config
from rsmtl.models.margin import with_margins
from rsmtl.training.config import TrainConfig, read_config
from rsmtl.training.examples import feeding_of
from rsmtl.training.folder import BEST_NAME, MODEL_NAME, claim
from rsmtl.training.group import TIMEOUT_S, Device, Group, RankGone, joined, launched
from rsmtl.training.log import Record
from rsmtl.training.loop import LOADER_THREADS, Task, Training, Where, n_micro_batches
from rsmtl.training.measure import measure
from rsmtl.training.optimizer import check_parts
from rsmtl.training.stop import stoppable
from rsmtl.training.validate import Validation, channels_last

CHECKPOINT_S = 300.0


def train(
    config: TrainConfig | str | Path,
    out: str | Path,
    data_root: str | Path,
    *,
    resume: bool = False,
    device: Device = "auto",
    timeout_s: float = TIMEOUT_S,
    checkpoint_s: float = CHECKPOINT_S,
    report: Callable[[Record], None] = lambda record: None,
) -> Path:
    """Train a model: in this process alone, or as a rank of those that torchrun or `rsmtl.dispatch.launcher` started.

    `out` receives `config.yaml`, `log.jsonl` and `tensorboard/` (a point for each step and epoch), `pictures/`,
    `state.safetensors` (what is resumed from), `best.safetensors` (weights of the best epoch, at any time a whole file)
    and in the end `model.safetensors`, whose kernels have the storage precision of the configuration and whose card
    holds the scores on validation and test split. A training that is resumed gives the bytes of one that was not
    interrupted.

    Parameters
    ----------
    config
        A configuration, the name of a preset, or the path of a YAML file.
    out
        Folder for the results, which all ranks share; must not hold those of another training.
    data_root
        Folder that holds the data sets (`dubai/` …, or prepared `dubai.zarr` …).
    resume
        Go on from the state in `out`, if there is one.
    device
        `auto` takes CUDA where there is some.
    timeout_s
        How long a rank waits for another; a rank that was launched also ends when it has done nothing for so long.
    checkpoint_s
        Seconds between states written within an epoch.
    report
        Called, on rank 0, with a record of each step and each epoch.

    Returns
    -------
    Path
        `model.safetensors`.

    Raises
    ------
    InputError
        If the configuration, the data or `out` are wrong; nothing was trained.
    RunError
        If the loss stops being finite, another rank is gone, a disk is full, or SIGTERM came.
    KeyboardInterrupt
        If Ctrl-C came; the state is on the disk.
    """
    config = config if isinstance(config, TrainConfig) else read_config(config)
    out = Path(out)
    resume = resume or int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
    torch.set_num_threads(config.torch_threads)
    torch.manual_seed(config.seed)
    with _watched(timeout_s) as alive, _others_named(), joined(device, timeout_s) as group:
        splits = open_data(config, Path(data_root), alive)
        module, task = build(config, splits)
        _refuse_too_many(group, config)
        if group.leads:
            claim(out, config, resume)
        group.wait()
        with stoppable() as stop:
            Training(task, Where(out, group, stop, checkpoint_s, alive, report), module).run()
            _finish(out, task, group, alive)
            group.wait()
    return out / MODEL_NAME


def open_data(config: TrainConfig, data_root: Path, alive: Callable[[], None] = lambda: None) -> Splits:
    """Open the data set of a configuration, degraded if that asks for it; errors and `alive` as in `load_splits`."""
    splits = load_splits(config.data, data_root, alive)
    if not config.wald:
        return splits
    parts = (splits.train, splits.validation, splits.test)
    return Splits(splits.about, *(tuple(map(wald, scenes)) for scenes in parts))


def validation_of(config: TrainConfig, spec: ModelSpec, splits: Splits) -> Validation:
    """Return how a model of this spec is scored on these data; raises `InputError` if they do not fit."""
    scenes = (*splits.train, *splits.validation, *splits.test)
    feeding = feeding_of(spec, scenes, config.sampling.patch_px, config.validation_px)
    return Validation(spec, feeding, config.validation_px, config.precision, LOADER_THREADS)


def build(config: TrainConfig, splits: Splits) -> tuple[nn.Module, Task]:
    """Return the module with fresh weights, and all that a training of it needs to know.

    Raises
    ------
    InputError
        If the data do not fit the system, or the configuration names terms, classes or parts that there are not.
    """
    system, about = find_system(config.system), splits.about
    known = _known_of_data(config.system, splits)
    own = {name: value for name, value in known.items() if name in system.config.model_fields}
    model_config = system_config(system, {**config.model, **own})
    spec = system.make_spec(
        model_config, bands=about.bands, classes=about.classes, radiometry=about.radiometry
    )
    if splits.gsd_m is not None:  # the data's grid is that of the finest head, as `feeding_of` has it
        factor = float(max(head.scale for head in spec.heads))
        spec = spec.model_copy(update={"gsd_m": splits.gsd_m * factor})
    check_sampling(config.sampling, splits.train, config.batch)
    if not splits.validation:
        raise InputError("the data set has no scene to validate on: name some")
    validation = validation_of(config, spec, splits)
    module = system.build(model_config)
    if config.initial is not None:
        begin_with(module, config.system, config.initial)
    check_parts(config.optimizer, module)
    terms = _terms(system.terms(model_config), config, splits)
    training = {
        "rsmtl": version("rsmtl"),
        "torch": torch.__version__,
        "config": config.model_dump(mode="json"),
    }
    card = Card(config=model_config.model_dump(), spec=spec, training=training)
    return module, Task(config, splits, card, terms, validation)


def begin_with(module: nn.Module, system: str, initial: str) -> None:
    """Give a fresh module the weights of a trained one, wherever they have the same name and shape.

    Raises
    ------
    ModelError
        If the checkpoint cannot be loaded.
    InputError
        If it is of another system, or no kernel of it fits.
    """
    card = read_card(initial)
    if card.spec.system != system:
        raise InputError(
            f"the training of a {system} cannot begin with {initial}, which is a {card.spec.system}: name a "
            f"checkpoint of a {system}, or leave out `initial`"
        )
    own = module.state_dict()
    there = load_model(initial).module.state_dict()
    fitting = {name: there[name] for name, value in own.items() if same_shape(there.get(name), value)}
    if not any(value.ndim > 1 for value in fitting.values()):
        raise InputError(
            f"nothing of {initial} fits this {system}: give `model` the configuration {card.config}, or leave out "
            "`initial`"
        )
    module.load_state_dict({**own, **fitting})


def same_shape(found: Tensor | None, wanted: Tensor) -> bool:
    """Whether there is a tensor, of this shape."""
    return found is not None and found.shape == wanted.shape


def _known_of_data(system: str, splits: Splits) -> dict[str, int]:
    """What of a system's configuration the data decide."""
    bands, n_classes = splits.about.bands, len(splits.about.classes)
    known = {"in_channels": len(bands.get("image", ())), "ms_channels": len(bands.get("ms", ()))}
    known["hrms_channels"] = len(bands.get("hrms", bands.get("ms", ())))
    return {name: n for name, n in {**known, "n_classes": n_classes}.items() if n}


def _terms(terms: tuple[Term, ...], config: TrainConfig, splits: Splits) -> tuple[Term, ...]:
    names = [one.name for one in splits.about.classes]
    for what, given, there in (
        ("loss term", config.loss, [term.name for term in terms]),
        ("class", config.class_weights, names),
    ):
        for name in given:
            if name not in there:
                raise InputError(f"there is no {what} {name!r} for this model: use one of {', '.join(there)}")
    if not config.class_weights:
        return terms
    weights = torch.tensor([config.class_weights.get(name, 1.0) for name in names])
    return with_class_weights(terms, weights)


def _refuse_too_many(group: Group, config: TrainConfig) -> None:
    least = config.batch // n_micro_batches(config)
    if group.size > least:
        what = "batch" if config.micro_batch is None else "micro-batch"
        raise InputError(
            f"a {what} of {least} patches cannot be shared by {group.size} ranks: use fewer, or a larger {what}"
        )


def _finish(out: Path, task: Task, group: Group, alive: Callable[[], None]) -> None:
    """Write the best weights as they will be used, with the scores that they have in that form."""
    best, path, storage = out / BEST_NAME, out / MODEL_NAME, task.config.storage
    card = read_card(best)
    if group.leads:
        save_checkpoint(path, load_model(best).module, card, storage)
    group.wait()
    module = channels_last(load_model(path).module.to(group.device))
    scenes: dict[str, tuple[LabelledScene, ...]] = {
        "validation": task.splits.validation,
        "test": task.splits.test,
    }
    found = {
        split: task.validation.scores(module, members, group, alive)
        for split, members in scenes.items()
        if members
    }
    measured = measure(module, task.validation, task.splits, group, alive)
    if group.leads:
        final = card.model_copy(
            update={
                "spec": with_margins(card.spec, measured),
                "measured": measured,
                "training": {**card.training, **found},
            }
        )
        save_checkpoint(path, module, final, storage)


@contextmanager
def _watched(timeout_s: float) -> Iterator[Callable[[], None]]:
    """Give what a rank calls whenever it has done something; a rank that was launched ends if it does not for too long.

    Its stack is then in the file of its standard error. Without an agent nobody waits for this process but a person.
    """
    if not launched():
        yield lambda: None
        return

    def alive() -> None:
        faulthandler.dump_traceback_later(timeout_s, exit=True)

    alive()
    try:
        yield alive
    finally:
        faulthandler.cancel_dump_traceback_later()


@contextmanager
def _others_named() -> Iterator[None]:
    """Turn what a process group says of a rank that is gone into a `RankGone`."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error).lower():
            raise RankGone(
                "another rank of the training is gone, or has not answered in time "
                f"({' '.join(str(error).split())[:200]}): its own error is in its file; go on with --resume"
            ) from error
        raise
