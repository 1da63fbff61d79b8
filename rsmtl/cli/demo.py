"""`rsmtl demo`: generated scenes through the shipped model, and what came out against the truth."""

from pathlib import Path
from typing import Annotated

import typer

from rsmtl.cli.options import JsonOption, WorkersOption
from rsmtl.cli.report import Report
from rsmtl.config import Settings


def demo(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Receives the scenes, the products and the picture.")
    ] = Path("demo-output"),
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> int:
    """Generate a small catalogue, run the shipped model over it, and compare the result with the truth.

    What stands already is not made again.
    """
    from rsmtl import demo as material
    from rsmtl.cli.run import ProductRun
    from rsmtl.cli.scenes import with_scenes
    from rsmtl.engine.classical import model_finder
    from rsmtl.request import Request
    from rsmtl.scene.search import Search

    report, out, settings = Report("demo", as_json), out.absolute(), Settings()
    with report.notes.status("generating scenes"):
        catalogue = material.make_catalogue(out / "catalogue")
    products = out / "products"
    request = Request(model_finder(material.MODEL), products, settings, list(material.ASSETS), resume=True)
    run = ProductRun(request, report)
    results = with_scenes([str(catalogue)], Search(), workers, None, settings, report, run)
    run.show(results)
    if report.failures:
        return report.close(scenes=results)
    found = material.report(out, catalogue, products)
    report.show(f"\n{material.describe(found)}")
    iou = dict(zip(found.classes, found.scores.iou.tolist(), strict=True))
    return report.close(
        scenes=results, mean_iou=found.scores.mean_iou, iou=iou, n_px=found.n_px, picture=str(found.picture)
    )
