"""A product for a scene, with a bar while it is made and a row in a table afterwards."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from rsmtl.cli.bar import SceneBar
from rsmtl.cli.report import Report, plain_table, printable
from rsmtl.cli.scenes import FAILED, Result
from rsmtl.engine.executor import Executor
from rsmtl.engine.product import Product
from rsmtl.errors import RsmtlError
from rsmtl.request import Request, make_product, open_listed, standing_product, take_id
from rsmtl.scene.open import SceneRef
from rsmtl.store.collection import OutputCollection
from rsmtl.units import duration, pixels, px_rate

WRITTEN, STOOD = "written", "stood already"


@dataclass(frozen=True)
class ProductRun:
    """Makes the products of scenes, one after the other, each failing alone."""

    request: Request
    report: Report

    def __call__(self, refs: Sequence[SceneRef], executor: Executor) -> Iterator[Result]:
        """Yield what became of each scene, and keep the collection of products up to date."""
        catalogue, taken, n_products = OutputCollection(self.request.out), dict[str, Any](), 0
        for ref in refs:
            try:
                product, px = self._product(ref, executor, taken)
            except RsmtlError as error:
                name = next((name for name, source in taken.items() if source == ref.source), ref.id)
                self.report.fail(name, error)
                yield {"scene": name, "result": FAILED}
                continue
            n_products += 1
            for note in product.notes:
                self.report.note(product.scene, note)
            catalogue.add(product.folder)
            yield {
                "scene": product.scene,
                "result": STOOD if product.reused else WRITTEN,
                "folder": str(product.folder),
                "px": px,
                "windows_run": product.windows_run,
                "n_windows": product.n_windows,
                "seconds": round(product.seconds, 3),
                "notes": list(product.notes),
            }
        if n_products:
            catalogue.write()

    def _product(self, ref: SceneRef, executor: Executor, taken: dict[str, Any]) -> tuple[Product, int]:
        """Make the product of a scene unless it stands; also return the pixels that this took."""
        found = standing_product(self.request, ref)
        if found:
            take_id(taken, found.scene, ref)
            return found, 0
        scene = open_listed(self.request, ref, executor, taken)
        with SceneBar(scene.id, self.report.notes) as bar:
            try:
                return make_product(self.request, scene, executor, bar.update), bar.px_done
            except KeyboardInterrupt:
                self.report.interrupt(self._what_stands(scene.id, bar))
                raise

    def _what_stands(self, scene: str, bar: SceneBar) -> str:
        """Say what an interrupted run leaves, and how to go on."""
        how = "with --resume in the place of --overwrite" if self.request.overwrite else "with --resume"
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
            title=f"Products in {printable(str(self.request.out))}",
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
