"""The model of a product in the words of STAC's Machine Learning Model extension (v1.5)."""

from typing import Any

import torch

from rsmtl.models.spec import ClassSpec, HeadSpec, InputSpec, ModelSpec

SCHEMA = "https://stac-extensions.github.io/mlm/v1.5.2/schema.json"


def mlm_properties(spec: ModelSpec, name: str, window: int, batch: int) -> dict[str, Any]:
    """Return the `mlm:` fields of an item."""
    heads = [_output(head, window, batch) for head in spec.heads]
    return {
        "mlm:name": name,
        "mlm:architecture": spec.system,
        "mlm:framework": "PyTorch",
        "mlm:framework_version": torch.__version__.partition("+")[0],
        "mlm:tasks": sorted({task for head in heads for task in head["tasks"]}),
        "mlm:input": [_input(wanted, window, batch) for wanted in spec.inputs],
        "mlm:output": heads,
    }


def class_objects(classes: tuple[ClassSpec, ...]) -> list[dict[str, Any]]:
    """Return classes as the classification extension describes them."""
    return [
        {
            "value": value,
            "name": "".join(c if c.isascii() and c.isalnum() else "-" for c in found.name),
            "title": found.name,
            "color_hint": "{:02X}{:02X}{:02X}".format(*found.color),
        }
        for value, found in enumerate(classes)
    ]


def band_names(wanted: InputSpec) -> list[str]:
    """Return the names of an input's bands, or their numbers."""
    return list(wanted.bands) or [f"{wanted.name} {k + 1}" for k in range(wanted.channels)]


def _input(wanted: InputSpec, window: int, batch: int) -> dict[str, Any]:
    edge = int(window * wanted.scale)
    return {
        "name": wanted.name,
        "bands": band_names(wanted),
        "input": {
            "shape": [batch, wanted.channels, edge, edge],
            "dim_order": ["batch", "bands", "height", "width"],
            "data_type": "float32",
        },
    }


def _output(head: HeadSpec, window: int, batch: int) -> dict[str, Any]:
    edge = int(window * head.scale)
    return {
        "name": head.name,
        "tasks": [_task(head)],
        "result": {
            "shape": [batch, head.channels, edge, edge],
            "dim_order": ["batch", "class" if head.kind == "classes" else "channel", "height", "width"],
            "data_type": "float32",
        },
        "classification:classes": class_objects(head.classes),
    }


def _task(head: HeadSpec) -> str:
    if head.kind == "classes":
        return "semantic-segmentation"
    return "super-resolution" if head.scale > 1 else "regression"
