"""The model of a product in the words of STAC's Machine Learning Model extension (v1.5)."""

import re
from collections.abc import Mapping
from typing import Any

from rsmtl.models.spec import ClassSpec, HeadSpec, InputSpec, ModelSpec
from rsmtl.store.provenance import Run

SCHEMA = "https://stac-extensions.github.io/mlm/v1.5.2/schema.json"


def mlm_properties(spec: ModelSpec, name: str, run: Run) -> dict[str, Any]:
    """Return the `mlm:` fields of an item; shapes are those of one batch of windows."""
    heads = [_output(spec, head, run.settings) for head in spec.heads]
    return {
        "mlm:name": _plain_name(name),
        "mlm:architecture": spec.system,
        "mlm:framework": "PyTorch",
        "mlm:framework_version": run.software["torch"],
        "mlm:tasks": sorted({task for head in heads for task in head["tasks"]}),
        "mlm:input": [_input(wanted, run) for wanted in spec.inputs],
        "mlm:output": heads,
        "mlm:hyperparameters": {key: value for key, value in run.settings.items() if value is not None},
    }


def class_objects(classes: tuple[ClassSpec, ...], nodata: float | None = None) -> list[dict[str, Any]]:
    """Return classes as the classification extension describes them; with the sentinel, if there is one."""
    objects: list[dict[str, Any]] = [
        {
            "value": value,
            "name": re.sub(r"[^0-9A-Za-z_-]+", "_", found.name) or f"class_{value}",
            "title": found.name,
            "color_hint": "{:02X}{:02X}{:02X}".format(*found.color),
        }
        for value, found in enumerate(classes)
    ]
    if nodata is not None:
        objects.append({"value": int(nodata), "name": "nodata", "title": "not valid", "nodata": True})
    return objects


def band_names(wanted: InputSpec) -> list[str]:
    """Return the names of an input's bands, or their numbers."""
    return list(wanted.bands) or [f"{wanted.name}_{k + 1}" for k in range(wanted.channels)]


def _plain_name(name: str) -> str:
    """Return a name that begins with a letter, ends with a letter or digit and has three characters at least."""
    plain = re.sub(r"[^a-zA-Z0-9_.\- ]+", "-", name).strip("_.- ")
    return plain if re.fullmatch(r"[a-zA-Z].+[a-zA-Z0-9]", plain) else f"model {plain or 0}"


def _input(wanted: InputSpec, run: Run) -> dict[str, Any]:
    edge = int(run.settings["window"] * wanted.scale)
    return {
        "name": wanted.name,
        "bands": band_names(wanted),
        "input": {
            "shape": [run.settings["batch"], wanted.channels, edge, edge],
            "dim_order": ["batch", "bands", "height", "width"],
            "data_type": "float32",
        },
        "value_scaling": _value_scaling(run.inputs[wanted.name].radiometry),
    }


def _value_scaling(radiometry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the network saw as 0 and 1: one pair for all bands, or one per band."""
    return [
        {"type": "min-max", "minimum": low, "maximum": high}
        for low, high in zip(radiometry["low"], radiometry["high"], strict=True)
    ]


def _output(spec: ModelSpec, head: HeadSpec, settings: Mapping[str, Any]) -> dict[str, Any]:
    edge = int(settings["window"] * head.scale)
    described: dict[str, Any] = {
        "name": head.name,
        "tasks": [_task(spec, head)],
        "result": {
            "shape": [settings["batch"], head.channels, edge, edge],
            "dim_order": ["batch", "class" if head.kind == "classes" else "channel", "height", "width"],
            "data_type": "float32",
        },
    }
    if head.classes:
        described["classification:classes"] = class_objects(head.classes)
    return described


def _task(spec: ModelSpec, head: HeadSpec) -> str:
    if head.kind == "classes":
        return "semantic-segmentation"
    if not head.like:
        return "regression"
    return "super-resolution" if head.scale > spec.input(head.like).scale else "regression"
