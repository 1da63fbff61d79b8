"""A product for a scene, with a bar while it is made and a row in a table afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import RenderableType
from rich.text import Text

from rsmtl.cli.bar import SceneBar
from rsmtl.cli.report import Report, plain_table, printable
from rsmtl.cli.scenes import FAILED, Result
from rsmtl.cli.units import duration, pixels, px_rate
from rsmtl.config import Settings
from rsmtl.dispatch import said_plainly
from rsmtl.engine.classical import ModelFinder
from rsmtl.engine.executor import Executor
from rsmtl.engine.product import write
from rsmtl.scene.scene import Scene
from rsmtl.store.place import Place

WRITTEN, STOOD = "written", "stood already"


@dataclass(frozen=True)
class ProductRun:
    """Makes the products of scenes, one call each."""

    model: ModelFinder
    out: Place
    settings: Settings
    report: Report
    resume: bool = False
    overwrite: bool = False

    def __call__(self, scene: Scene, executor: Executor) -> Result:
        """Make the product of a scene; errors as `write`."""
        with SceneBar(scene.id, self.report.notes) as bar, said_plainly():
            try:
                product = write(
                    scene,
                    self.model(scene, self.settings, executor),
                    self.out,
                    self.settings,
                    executor=executor,
                    resume=self.resume,
                    overwrite=self.overwrite,
                    on_progress=bar.update,
                )
            except KeyboardInterrupt:
                self.report.interrupt(self._what_stands(scene.id, bar))
                raise
        return {
            "result": STOOD if product.reused else WRITTEN,
            "folder": str(product.folder),
            "px": bar.px_done,
            "windows_run": product.windows_run,
            "n_windows": product.n_windows,
            "seconds": round(product.seconds, 3),
        }

    def _what_stands(self, scene: str, bar: SceneBar) -> str:
        """Say what an interrupted run leaves, and how to go on."""
        how = "with --resume in the place of --overwrite" if self.overwrite else "with --resume"
        if bar.latest is None:
            return f"interrupted before scene {scene!r} was begun; give the same command {how} to go on"
        return (
            f"interrupted: {bar.latest.chunks_done:,} of {bar.latest.n_chunks:,} chunks of scene {scene!r} stand; "
            f"give the same command {how} to finish it and the scenes after it"
        )

    def show(self, results: Sequence[Result]) -> None:
        """Print a table of what became of the scenes, if there is a product of any."""
        if all(found["result"] == FAILED for found in results):
            return
        table = plain_table(
            "Scene",
            "Result",
            figures=("Windows run", "Pixels", "Speed", "Time"),
            title=f"Products in {printable(str(self.out))}",
        )
        for found in results:
            table.add_row(*_row(found))
        self.report.show(table)


def _row(found: Result) -> list[RenderableType]:
    scene = printable(found["scene"])
    if found["result"] == FAILED:
        return [scene, Text(FAILED, style="red")]
    if found["result"] == STOOD:
        return [scene, STOOD]
    px, seconds = found["px"], found["seconds"]
    return [scene, WRITTEN, f"{found['windows_run']:,}", pixels(px), px_rate(px, seconds), duration(seconds)]
