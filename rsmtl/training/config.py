"""What a training is: one YAML file, checked before anything runs."""

import os
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rsmtl.datasets import DataConfig, Sampling
from rsmtl.errors import InputError, explain

Beta = Annotated[float, Field(ge=0, lt=1)]
Betas = tuple[Beta, Beta]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PartOptimizer(_Frozen):
    """What is different for a part of the model; what is not given is as for the rest."""

    lr: float | None = Field(default=None, gt=0)
    betas: Betas | None = None
    weight_decay: float | None = Field(default=None, ge=0)
    decay_epochs: tuple[int, ...] | None = None


class OptimizerConfig(_Frozen):
    """How gradients become steps."""

    name: Literal["adam", "adamw"] = "adam"
    lr: float = Field(gt=0)
    """Learning rate."""
    betas: Betas = (0.9, 0.999)
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: Literal["constant", "cosine"] = "constant"
    """`cosine`: the learning rate falls along a half cosine to nothing over the whole training."""
    decay_epochs: tuple[int, ...] = ()
    """Epochs, counted from 1, from each of which on the learning rate is a tenth of what it was: (10,) in the recipe of
    panseg, (151,) in that of srseg."""
    clip_norm: float | None = Field(default=None, gt=0)
    """Gradients whose norm over all parameters is larger are scaled down to it."""
    parts: dict[str, PartOptimizer] = {}
    """By the first name of a parameter's path: `sr` and `segmentation` of srseg have an Adam of their own each."""


class TrainConfig(_Frozen):
    """Everything that decides what weights come out, besides the data themselves."""

    system: str
    """Name in the registry of systems."""
    model: dict[str, Any] = {}
    """Configuration of the system, without what the data decide (bands and classes)."""
    initial: str | None = None
    """Model of the same system to begin with: the name of a shipped one, or the path of a checkpoint. What has another
    shape there, as the last layer of a model with other classes, begins fresh. Unless given, everything does."""
    data: DataConfig
    wald: bool = False
    """Degrade PAN and MS by their ratio, so that the MS that was measured is the truth of `hrms`."""
    sampling: Sampling = Sampling()
    loss: dict[str, float] = {}
    """Weight of each loss term; those not named are left out. Unless given, the system's published weights."""
    class_weights: dict[str, float] = {}
    """How much a pixel of each class counts in the cross-entropy; 1 unless given."""
    epochs: int = Field(gt=0)
    batch: int = Field(gt=0)
    """Patches in a step, on all ranks together."""
    micro_batch: int | None = Field(default=None, gt=0)
    """Patches that go through the model at once, on all ranks together; the whole batch unless given. Gradients are
    added up until the batch is complete. It counts all ranks, so that their number changes no number."""
    optimizer: OptimizerConfig
    ema: float | None = Field(default=None, gt=0, lt=1)
    """Decay per step of the moving average of the weights, which is then what is validated and kept."""
    keep: Literal["best", "last"] = "best"
    """Weights of which epoch become the model: the one with the best validation score, or the last, where the learning
    rate has fallen to nothing and the validation data are too few to tell epochs apart."""
    patience: int | None = Field(default=None, gt=0)
    """Stop after so many epochs in a row without a better validation score."""
    validation_px: int = Field(default=512, gt=0)
    """Edge of the windows in which whole scenes are validated, in pixels of the data's reference grid."""
    precision: Literal["fp32", "bf16"] = "fp32"
    storage: Literal["fp32", "fp16"] = "fp32"
    """Precision of the kernels in the final checkpoint; its scores are measured with them."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    torch_threads: int = Field(default=4, gt=0, le=1024)
    """Of each rank. Part of the configuration because another number of threads gives other rounding."""


def presets() -> tuple[str, ...]:
    """Return the names of the configurations that come with the package."""
    return tuple(sorted(p.stem for p in _presets_folder().glob("*.yaml")))


def read_config(name_or_path: str | Path) -> TrainConfig:
    """Read a preset by name, or a YAML file by path.

    Raises
    ------
    InputError
        If there is none, or it is no YAML, or a value is wrong or unknown.
    """
    path = Path(name_or_path)
    if str(name_or_path) in presets():
        path = _presets_folder() / f"{name_or_path}.yaml"
    if not os.path.isfile(path):  # noqa: PTH113  # which has an answer for names that are too long, too
        raise InputError(
            f"there is no training configuration {str(name_or_path)!r}: give the path of a YAML file, or one "
            f"of {', '.join(presets())}"
        )
    try:
        return TrainConfig.model_validate(yaml.safe_load(path.read_text()))
    except ValidationError as error:
        raise InputError(f"the training configuration {path} is wrong: {explain(error)}") from error
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"cannot read {path} as YAML: {' '.join(str(error).split())}") from error


def _presets_folder() -> Path:
    return Path(str(files("rsmtl.training"))) / "presets"
