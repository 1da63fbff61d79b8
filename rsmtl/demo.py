"""The demo: a catalogue of generated scenes, and what the products made of it are worth against its truth."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pystac
import rasterio
import xarray as xr
from numpy.typing import NDArray

from rsmtl.errors import RunError
from rsmtl.losses import IGNORE
from rsmtl.metrics import Scores, confusion_matrix, scores
from rsmtl.store.folder import product_folder
from rsmtl.store.quicklook import Panel, colored, draw, stretched
from rsmtl.store.zarr import open_product
from rsmtl.synthetic import CLASSES
from rsmtl.synthetic.catalogue import write_catalogue

MODEL = "urec-landscape"
ASSETS = ["hrms"]
"""What of a scene the model is given."""
TRUTH = "classes"
"""Asset that holds the truth."""
HEAD = "segmentation"

N_SCENES, SIZE_PX, SEED = 3, 1500, 7
PICTURE_NAME = "demo.png"


@dataclass(frozen=True)
class DemoReport:
    """How good the products are, and where the picture is."""

    n_scenes: int
    n_px: int
    """Pixels whose truth is known; all of them count."""
    confusion: NDArray[np.int64]
    """`(K, K)`, rows truth, columns prediction."""
    scores: Scores
    classes: tuple[str, ...]
    picture: Path


def make_catalogue(out: Path) -> Path:
    """Return `catalog.json` of the demo's scenes in `out`; what stands there is used again."""
    standing = out / "catalog.json"  # written last: where it stands the scenes are whole
    return standing if standing.exists() else write_catalogue(out, N_SCENES, SIZE_PX, SEED, collar=True)


def report(out: Path, catalogue: Path, products: Path) -> DemoReport:
    """Compare all class maps with the truth, and draw one scene's.

    Parameters
    ----------
    out
        Folder for the picture.
    catalogue
        As `make_catalogue` returned it.
    products
        Folder that holds a product for each of its scenes.

    Raises
    ------
    RunError
        If a scene has no product, or the picture cannot be written.
    """
    items = list(pystac.Catalog.from_file(catalogue).get_items())
    confusion = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    for item in items:
        of_item = _confusion(item, products)
        if item is items[0]:
            _draw(item, products, scores(of_item).mean_iou, out / PICTURE_NAME)
        confusion += of_item
    names, found, picture = tuple(c.name for c in CLASSES), scores(confusion), out / PICTURE_NAME
    return DemoReport(len(items), int(confusion.sum()), confusion, found, names, picture)


def _confusion(item: pystac.Item, products: Path) -> NDArray[np.int64]:
    """Return the confusion matrix of a scene, rows truth."""
    predicted = _class_map(item, products)
    confusion = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    with rasterio.open(_href(item, TRUTH)) as truth:
        for _, block in truth.block_windows(1):
            labels = truth.read(1, window=block)
            confusion += confusion_matrix(labels, predicted[block.toslices()].values, len(CLASSES), IGNORE)
    return confusion


def _href(item: pystac.Item, asset: str) -> str:
    return str(item.assets[asset].get_absolute_href())


def _class_map(item: pystac.Item, products: Path) -> xr.DataArray:
    """Return the stored class map `(y, x)`, lazily."""
    folder = product_folder(products, item.id)
    if not folder.is_dir():
        raise RunError(f"there is no product in {folder}: run the model over the whole catalogue first")
    heads = next(group for group in open_product(folder).values() if HEAD in group)
    return heads[HEAD][0]


def _draw(item: pystac.Item, products: Path, mean_iou: float, path: Path) -> None:
    """Draw a scene's input, class map and truth side by side."""
    with rasterio.open(_href(item, ASSETS[0])) as image, rasterio.open(_href(item, TRUTH)) as truth:
        panels = (
            Panel("input", stretched(image.read(masked=True).astype(np.float32).filled(np.nan))),
            Panel("class map", colored(_class_map(item, products).values, CLASSES), CLASSES),
            Panel("truth", colored(truth.read(1), CLASSES), CLASSES),
        )
    draw(path, f"{item.id}: mean IoU {mean_iou:.2f}", panels)


def describe(found: DemoReport) -> str:
    """Return a report as text: the IoU of each class, their mean, and what it was measured against."""
    width = max(map(len, found.classes))
    lines = [
        f"{name:<{width}}  IoU {iou:.3f}" for name, iou in zip(found.classes, found.scores.iou, strict=True)
    ]
    return "\n".join(
        [
            *lines,
            f"mean IoU {found.scores.mean_iou:.3f}, against the generator's own land cover of all {found.n_px:,} "
            f"valid pixels of {found.n_scenes} scenes, from a world that is not in the model's training data",
            f"picture: {found.picture}",
        ]
    )
