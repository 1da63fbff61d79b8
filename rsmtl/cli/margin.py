"""`rsmtl models margin`: how much of a window's edge does not count, measured."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from rsmtl.cli.options import AssetsOption, JsonOption
from rsmtl.cli.report import Report, plain_table
from rsmtl.errors import InputError

if TYPE_CHECKING:
    from rsmtl.models.margin import EdgeResponse, Measured

SHOWN_PX = (0, 32, 64, 96)
"""Distances to the edge that the table has."""


def margin(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A model's name or path, as for `predict`.", show_default=False),
    ],
    scenes: Annotated[
        list[str],
        typer.Argument(
            metavar="[SCENE]...", help="Scenes to measure on, as for `predict`.", show_default=False
        ),
    ] = [],  # noqa: B006  # typer copies it
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Measure on the validation split of the model's own data set instead, in this folder; this also "
            "scores windows of several sizes.",
            show_default=False,
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the model with its margins to this file.", show_default=False
        ),
    ] = None,
    assets: AssetsOption = [],  # noqa: B006  # typer copies it
    as_json: JsonOption = False,
) -> int:
    """Measure how a model's outputs change towards a window's edge, and the margin that does not count.

    Two windows look at the same pixels, one near its edge, the other a quarter of a window deeper. Their difference
    falls with the distance to the edge until it reaches a floor, where the margin ends.
    """
    from rsmtl.cli.sources import read_assets, read_sources
    from rsmtl.engine.edge_response import measure
    from rsmtl.models import load_model
    from rsmtl.models.checkpoint import save_measured
    from rsmtl.scene.open import open_scene

    if bool(scenes) == (data is not None):
        raise InputError(
            "give scenes to measure on, or --data with the folder of the model's data set: one of them"
        )
    report = Report("models", as_json)
    if data is not None:
        from rsmtl.training.measure import measure_checkpoint

        found = measure_checkpoint(model, data)
    else:
        taken = read_assets(assets)
        found = measure(load_model(model), [open_scene(source, taken) for source in read_sources(scenes)])
    report.show(_table(model, found))
    if found.windows:
        report.show(_scores(found))
    for name, edge in found.edges.items():
        if not edge.reached:
            report.show(
                f"{name}: windows of {edge.window} px are too small to find where its edge ends; give larger scenes"
            )
    if save is not None:
        save_measured(model, save, found)
    return report.close(
        model=model,
        margins={n: e.margin for n, e in found.edges.items()},
        measured=found.model_dump(mode="json"),
    )


def _table(model: str, found: "Measured") -> Table:
    """Return margins, and the difference at some distances: of classes their share, of values that of the spread."""
    shown = [px for px in SHOWN_PX if all(px < e.window // 2 for e in found.edges.values())]
    table = plain_table(
        "Head",
        figures=("Margin", *(f"{px} px" for px in shown), "Floor"),
        title=f"Edge response of {model}, by distance to the edge",
    )
    for name, edge in found.edges.items():
        scale = edge.spread or 1.0

        def row(values: tuple[float, ...], edge: "EdgeResponse" = edge, scale: float = scale) -> list[str]:
            return [f"{100 * values[px // edge.bin_px] / scale:.2f} %" for px in shown]

        floor = f"{100 * edge.floor / scale:.2f} %"
        table.add_row(name, f"{edge.margin} px", *row(edge.difference), floor)
        if edge.bias:
            table.add_row("  bias", "", *row(edge.bias), f"±{100 * edge.floor_bias / scale:.2f} %")
    return table


def _scores(found: "Measured") -> Table:
    table = plain_table("Window", figures=("Score",), title="Scores by window, on validation data")
    for one in found.windows:
        table.add_row(f"{one.window} px", f"{one.score:.4f} ({one.metric})")
    return table
