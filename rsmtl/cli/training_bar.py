"""A progress bar for a training, and a line for each of its epochs."""

from time import perf_counter
from types import TracebackType
from typing import Any, Self

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from rsmtl.cli.report import Report
from rsmtl.units import duration


class TrainingBar:
    """Shows the epoch, images per second and the share of time spent waiting for data on a terminal.

    A line for each finished epoch is shown everywhere.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._began = perf_counter()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[pace]}"),
            TimeRemainingColumn(),
            console=report.notes,
            disable=not report.notes.is_terminal,
            expand=True,
            transient=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, record: dict[str, Any]) -> None:
        """Take the record of a step or of an epoch."""
        if record["kind"] == "step":
            self._step(record)
        else:
            self._epoch(record)

    def _step(self, record: dict[str, Any]) -> None:
        if not self._bar.tasks:
            self._bar.add_task("", total=None, pace="")
            self._bar.start()
        pace = f"loss {sum(record['loss'].values()):.4g}"
        if "images_per_s" in record:
            pace += f"  {record['images_per_s']:.1f} images/s  {record['waiting']:.0%} waiting for data"
        self._bar.update(
            self._bar.task_ids[0],
            description=f"epoch {record['epoch']}",
            completed=record["epoch"] * record["n_steps"] + record["step"] + 1,
            total=record["n_epochs"] * record["n_steps"],
            pace=pace,
        )

    def _epoch(self, record: dict[str, Any]) -> None:
        now = perf_counter()
        self._report.show(
            f"epoch {record['epoch']:>3}  loss {sum(record['loss'].values()):.4f}  "
            f"{described(record['validation'])}  {duration(now - self._began)}"
        )
        self._began = now


def described(scores: dict[str, dict[str, Any]]) -> str:
    """Return the scores of each head that say most, in one line."""
    shown = (("mean_iou", "mean IoU {:.4f}"), ("psnr_db", "PSNR {:.2f} dB"), ("q", "Q {:.4f}"))
    parts = [
        f"{head} "
        + ", ".join(text.format(found[name]) for name, text in shown if found.get(name) is not None)
        for head, found in scores.items()
    ]
    return "  ".join(parts)
