"""How far a scene is, as a bar on a terminal: chunks, megapixels a second, time left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from rsmtl.predict.drain import Progress


@contextmanager
def scene_bar(scene_id: str) -> Iterator[Callable[[Progress], None]]:
    """Draw a bar on standard error while the block lasts; nothing where that is no terminal.

    Parameters
    ----------
    scene_id
        What the bar is called.

    Yields
    ------
    Callable
        What `write` calls `on_progress`.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[chunks]}"),
        _Speed(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(scene_id, total=None, chunks="")

        def show(progress: Progress) -> None:
            bar.update(
                task,
                total=progress.n_px,
                completed=progress.px_done,
                chunks=f"{progress.chunks_done}/{progress.n_chunks} chunks",
            )

        yield show


class _Speed(ProgressColumn):
    """Megapixels finished per second, of late."""

    def render(self, task: Task) -> Text:
        """Return the figure once two chunks have told it."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed / 1e6:.2f} Mpx/s")
