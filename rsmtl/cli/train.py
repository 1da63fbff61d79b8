"""`rsmtl train`: a configuration and data in, a checkpoint out."""

from pathlib import Path
from typing import Annotated, Any

import typer

from rsmtl.cli.options import JsonOption
from rsmtl.cli.report import Report


def train(
    config: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG",
            help="A configuration that comes with rsmtl, or the path of one.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Receives log and checkpoints.", show_default=False)
    ],
    data: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Holds the data sets that come as files.", envvar="RSMTL_DATA"),
    ] = Path("data"),
    as_json: JsonOption = False,
) -> int:
    """Train a model on labelled data, epoch by epoch, and keep the best."""
    from rsmtl.cli.units import duration
    from rsmtl.models import read_card
    from rsmtl.training import train as run

    report = Report("train", as_json)

    def tell(record: dict[str, Any]) -> None:
        report.show(
            f"epoch {record['epoch']:>3}  loss {sum(record['loss'].values()):.4f}  "
            f"mean IoU {_score(record['validation'])}  {duration(record['seconds'])}"
        )

    path = run(config, out, data, report=tell)
    scores = {split: read_card(path).training.get(split) for split in ("validation", "test")}
    report.show(f"test mean IoU {_score(scores['test'])}: {path}")
    return report.close(checkpoint=str(path), **scores)


def _score(scores: dict[str, Any] | None) -> str:
    value = (scores or {}).get("mean_iou")
    return "–" if value is None else f"{value:.4f}"
