"""The demo: a catalogue of generated scenes, and what the products made of it are worth against its truth."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pystac
import rasterio
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from rsmtl.errors import RunError
from rsmtl.losses import IGNORE
from rsmtl.metrics import Scores, confusion_matrix, scores
from rsmtl.store.folder import product_folder, replacing
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

PANEL_IN = 7.5
"""Edge of a panel of the picture, in 100 pixels."""


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
        predicted = _class_map(item, products)
        with rasterio.open(_href(item, TRUTH)) as truth:
            for _, block in truth.block_windows(1):
                labels = truth.read(1, window=block)
                confusion += confusion_matrix(
                    labels, predicted[block.toslices()].values, len(CLASSES), IGNORE
                )
    _draw(items[0], products, out / PICTURE_NAME)
    names = tuple(c.name for c in CLASSES)
    return DemoReport(
        len(items), int(confusion.sum()), confusion, scores(confusion), names, out / PICTURE_NAME
    )


def _href(item: pystac.Item, asset: str) -> str:
    return str(item.assets[asset].get_absolute_href())


def _class_map(item: pystac.Item, products: Path) -> xr.DataArray:
    """Return the stored class map `(y, x)`, lazily."""
    folder = product_folder(products, item.id)
    if not folder.is_dir():
        raise RunError(f"there is no product in {folder}: run the model over the whole catalogue first")
    heads = next(group for group in open_product(folder).values() if HEAD in group)
    return heads[HEAD][0]


def _draw(item: pystac.Item, products: Path, path: Path) -> None:
    """Draw a scene's input, class map and truth side by side, with a legend."""
    with rasterio.open(_href(item, ASSETS[0])) as image, rasterio.open(_href(item, TRUTH)) as truth:
        panels = {
            "input": _stretched(image.read(), image.nodata),
            "class map": _colored(_class_map(item, products).values),
            "truth": _colored(truth.read(1)),
        }
    figure = Figure(figsize=(3 * PANEL_IN, PANEL_IN + 1), dpi=100, layout="constrained")
    for axes, (title, pixels) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        axes.imshow(pixels)
        axes.set_title(title, fontsize=20, pad=10)
        axes.set_axis_off()
    legend = [Patch(facecolor="#{:02x}{:02x}{:02x}".format(*c.color), label=c.name) for c in CLASSES]
    figure.legend(handles=legend, loc="outside lower center", ncols=len(legend), fontsize=18, frameon=False)
    with replacing(path) as part:
        figure.savefig(part, format="png")


def _stretched(values: NDArray[np.integer], nodata: float) -> NDArray[np.uint8]:
    valid = (values != nodata).any(axis=0)
    low, high = np.percentile(values[:, valid], (1, 99))
    shown = np.clip((values - low) / (high - low), 0, 1) ** 0.8 * 255
    return np.where(valid, shown, 255).astype(np.uint8).transpose(1, 2, 0)


def _colored(classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    table = np.full((256, 3), 255, np.uint8)
    table[: len(CLASSES)] = [c.color for c in CLASSES]
    return table[classes]
