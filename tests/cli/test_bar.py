"""The bar of a scene."""

import io
import re

from rich.console import Console

from rsmtl.cli.bar import SceneBar
from rsmtl.engine.drain import Progress


def progress(chunks_done: int, px_done: int) -> Progress:
    return Progress(chunks_done, n_chunks=4, px_done=px_done, n_px=4_000_000, windows_run=0)


def shown_by(bar_of: str, *reports: Progress, terminal: bool = True, fails: bool = False) -> str:
    """What stands on the last line of a terminal of 100 columns."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=100, color_system=None)
    try:
        with SceneBar(bar_of, console) as bar:
            for report in reports:
                bar.update(report)
            if fails:
                raise OSError
    except OSError:
        pass
    return re.sub(r"\x1b\[[?\d]*[A-Za-z]", "", file.getvalue()).rstrip().rsplit("\r", 1)[-1]


def test_the_last_state_stays_with_the_time_it_took() -> None:
    shown = shown_by("scene-1", progress(1, 1_000_000), progress(4, 4_000_000))
    assert "scene-1 ━" in shown
    assert "4/4 chunks" in shown
    assert shown.endswith(" s")
    assert "Mpx/s" in shown


def test_a_scene_that_stopped_says_so() -> None:
    shown = shown_by("scene-1", progress(0, 0), progress(1, 1_000_000), fails=True)
    assert "1/4 chunks" in shown
    assert shown.endswith("stopped")


def test_a_long_name_leaves_room_for_figures() -> None:
    shown = shown_by("a-name-" * 20, progress(4, 4_000_000))
    assert "…" in shown
    assert len(shown.splitlines()[-1]) <= 100


def test_nothing_without_progress_and_nothing_without_a_terminal() -> None:
    assert shown_by("scene-1") == ""
    assert shown_by("scene-1", progress(4, 4_000_000), terminal=False) == ""


def test_pixels_that_stood_already_are_no_work() -> None:
    bar = SceneBar("scene-1", Console(file=io.StringIO()))
    assert bar.px_done == 0
    bar.update(progress(2, 2_000_000))
    bar.update(progress(3, 3_000_000))
    assert bar.px_done == 1_000_000
