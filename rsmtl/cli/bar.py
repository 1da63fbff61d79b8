"""A progress bar for one scene."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from rsmtl.cli.report import printable
from rsmtl.engine.drain import Progress as SceneProgress
from rsmtl.units import duration, px_rate


class SceneBar:
    """Shows chunks done, pixels per second and time left on a terminal, and nothing elsewhere.

    It appears with the first report of progress, so that a scene that is refused leaves no empty bar, and its
    last state stays on the screen.
    """

    def __init__(self, scene: str, console: Console) -> None:
        self.first: SceneProgress | None = None
        """What stood when the scene was begun; None until then."""
        self.latest: SceneProgress | None = None
        self._scene = printable(scene)
        self._bar = Progress(
            TextColumn(
                "{task.description}",
                markup=False,
                table_column=Column(max_width=30, no_wrap=True, overflow="ellipsis"),
            ),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[chunks]} chunks"),
            _Rate(),
            _TimeLeft(),
            console=console,
            disable=not console.is_terminal,
            expand=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._bar.tasks:
            end = Text("stopped", style="red") if error else Text(duration(task.elapsed or 0.0))
            self._bar.update(task.id, end=end)
        self._bar.stop()

    @property
    def px_done(self) -> int:
        """Pixels of chunks finished since the scene was begun, without those that stood."""
        return self.latest.px_done - self.first.px_done if self.first and self.latest else 0

    def update(self, progress: SceneProgress) -> None:
        """Take a report of progress."""
        chunks = f"{progress.chunks_done:,}/{progress.n_chunks:,}"
        if self.first is None:
            self.first = progress
            self._bar.add_task(
                self._scene, total=progress.n_px, chunks=chunks, stood=progress.px_done, end=None
            )
            self._bar.start()
        self.latest = progress
        self._bar.update(self._bar.task_ids[0], completed=progress.px_done, chunks=chunks)


class _Rate(ProgressColumn):
    """Pixels per second since the scene was begun, without those that stood."""

    def render(self, task: Task) -> Text:
        return Text(px_rate(task.completed - task.fields["stood"], task.elapsed or 0.0))


class _TimeLeft(TimeRemainingColumn):
    """Time left, until all chunks are finished and only files are written; in the end what it took."""

    max_refresh = 0.0  # or else the last state would come too soon to be drawn

    def render(self, task: Task) -> Text:
        return task.fields["end"] or (Text("writing files") if task.finished else super().render(task))
