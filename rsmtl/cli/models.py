"""`rsmtl models`: what there is to run, and what can be trained."""

from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from rsmtl.cli.options import JsonOption
from rsmtl.cli.report import Report, plain_table

if TYPE_CHECKING:
    from torch import nn

    from rsmtl.models import HeadSpec, InputSpec, ModelSpec, System


def models(context: typer.Context, as_json: JsonOption = False) -> int:
    """List the models that come with rsmtl, systems in their published size, and classical pansharpening.

    `rsmtl models margin` measures how much of a window's edge does not count.
    """
    if context.invoked_subcommand:
        return 0
    from rsmtl.engine.classical import METHODS
    from rsmtl.models import SYSTEMS, load_model, read_card, shipped_models

    report = Report("models", as_json)
    shipped = []
    for name in shipped_models():
        model = load_model(name)
        scores = read_card(name).training["test"]["segmentation"]
        shipped.append({**_told(name, model.spec, model.module), "mean_iou_test": scores["mean_iou"]})
    systems = [{**_published(system), "summary": system.summary} for system in SYSTEMS.values()]
    report.show(_table("Models", "Model", shipped, {"Mean IoU on its own test data": "mean_iou_test"}))
    report.show("")
    report.show(_table("Systems, in their published size", "System", systems, {}))
    report.show("")
    report.show(_classical(METHODS))
    return report.close(models=shipped, systems=systems, classical=METHODS)


def _classical(methods: dict[str, str]) -> Table:
    table = plain_table(
        "Method", "What it is", title="Classical pansharpening of PAN and MS, by name in --model"
    )
    for name, summary in methods.items():
        table.add_row(name, summary)
    return table


def _published(system: "System") -> dict[str, Any]:
    """Describe a system in its default size, without giving it memory."""
    import torch

    config = system.config()
    with torch.device("meta"):
        module = system.build(config)
    return _told(system.name, system.make_spec(config, bands={}, classes=(), radiometry={}), module)


def _told(name: str, spec: "ModelSpec", module: "nn.Module") -> dict[str, Any]:
    return {
        "name": name,
        "system": spec.system,
        "inputs": [_input(i) for i in spec.inputs],
        "heads": [_head(h) for h in spec.heads],
        "window_divisor": spec.divisor,
        "gsd_m": spec.gsd_m,
        "parameters": sum(p.numel() for p in module.parameters()),
    }


def _input(spec: "InputSpec") -> dict[str, Any]:
    return {"name": spec.name, "channels": spec.channels, "scale": str(spec.scale), "bands": list(spec.bands)}


def _head(spec: "HeadSpec") -> dict[str, Any]:
    return {
        "name": spec.name,
        "kind": spec.kind,
        "channels": spec.channels,
        "n_classes": spec.n_classes if spec.kind == "classes" else None,
        "scale": str(spec.scale),
        "margin_px": spec.margin,
        "classes": [c.name for c in spec.classes],
        "label_colors": ["#{:02X}{:02X}{:02X}".format(*(c.mask_color or c.color)) for c in spec.classes],
        "product": spec.product,
        "unit": spec.own.unit if spec.kind == "continuous" and not spec.like else None,
    }


def _table(title: str, heading: str, rows: list[dict[str, Any]], scores: dict[str, str]) -> Table:
    table = plain_table(heading, "Inputs", "Heads", figures=("GSD", "Parameters", *scores), title=title)
    for row in rows:
        table.add_row(
            row["name"],
            "\n".join(_listed(i, i["bands"], i["channels"], "bands") for i in row["inputs"]),
            "\n".join(_listed_head(h) for h in row["heads"]),
            "–" if row["gsd_m"] is None else f"{row['gsd_m']:.2g} m",
            f"{row['parameters']:,}",
            *("–" if row[key] is None else f"{row[key]:.3f}" for key in scores.values()),
        )
    return table


def _listed_head(head: dict[str, Any]) -> str:
    if head["kind"] == "classes":
        listed = _listed(head, head["classes"], head["n_classes"], "classes")
    else:
        listed = _listed(head, [], head["channels"], "bands") + ("" if head["product"] else " (if asked for)")
    return listed if head["margin_px"] is None else f"{listed}; margin {head['margin_px']} px"


def _listed(part: dict[str, Any], names: list[str], n: int, what: str) -> str:
    """`ms ×1/4: red, green, blue`."""
    scale = "" if part["scale"] == "1" else f" ×{part['scale']}"
    listed = ", ".join(names) or ("1 band" if (n, what) == (1, "bands") else f"{n} {what}")
    return f"{part['name']}{scale}: {listed}"
