"""`reference/configuration.md`: every key of settings, trainings and flows, read off their models; every preset."""

import typing
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

import yaml

import rsmtl
from docs.reference.fields import field_list
from flows.process_catalogue import CatalogueRun
from flows.train_model import TrainingRun
from rsmtl.datasets import DataConfig, Sampling
from rsmtl.scene.search import Search
from rsmtl.training.config import OptimizerConfig, PartOptimizer, TrainConfig, presets

DATA_SETS: tuple[type, ...] = typing.get_args(typing.get_args(DataConfig)[0])


def parts() -> dict[str, str]:
    """Return Markdown by the name under which the page asks for it."""
    return {
        "settings": field_list(rsmtl.Settings),
        "search": field_list(Search),
        "train": field_list(TrainConfig),
        "optimizer": field_list(OptimizerConfig),
        "part_optimizer": field_list(PartOptimizer),
        "sampling": field_list(Sampling),
        "data": "\n".join(_data_set(one) for one in DATA_SETS),
        "presets": "\n".join(_preset(name) for name in presets()),
        "catalogue_run": field_list(CatalogueRun),
        "training_run": field_list(TrainingRun),
    }


def _data_set(config: Any) -> str:
    name, said = config.model_fields["name"].default, config.__doc__.strip()
    paragraphs = "\n\n".join(" ".join(one.split()) for one in said.split("\n\n"))
    return f"### data: {name}\n\n{paragraphs}\n\n{field_list(config)}"


def _preset(name: str) -> str:
    text = (files("rsmtl.training") / "presets" / f"{name}.yaml").read_text()
    remark = " ".join(line.lstrip("# ") for line in text.splitlines() if line.startswith("#"))
    rows = "\n".join(f"| `{key}` | `{value}` |" for key, value in _leaves(yaml.safe_load(text)))
    return f"### {name}\n\n{remark}\n\n| key | value |\n|---|---|\n{rows}\n"


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
