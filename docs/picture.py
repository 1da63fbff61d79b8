"""The picture of README and site: an aerial image of Dubai, its class map and the truth, with this image's own score.

    python -m docs.picture ../data/dubai

draws `docs/dubai.png`. The data set (CC0) has to be fetched first; see the page on preparing data.
"""

import argparse
import io
from pathlib import Path
from typing import Any

import numpy as np
import rioxarray  # noqa: F401  # gives arrays their `.rio`
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from PIL import Image

import rsmtl
from rsmtl.datasets.dubai import CLASSES, MASK_COLORS
from rsmtl.datasets.files import decode_colors, read_rgb
from rsmtl.losses import IGNORE
from rsmtl.metrics import Scores, confusion_matrix, scores
from rsmtl.scene.arrays import scene_from_arrays
from rsmtl.store.quicklook import colored, few_colors, hex_of

PICTURE = Path(__file__).parent / "dubai.png"
WIDTH_IN, DPI = 7.2, 200
EDGE_PX = 700
"""A panel shows as many pixels; the score is that of all."""
HEAD = "segmentation"


def classes_of(image: NDArray[np.uint8], model: str) -> NDArray[np.uint8]:
    """Return the class map `(H, W)` of an image `(3, H, W)` without a place, put somewhere on a grid of metres."""
    _, height, width = image.shape
    array = xr.DataArray(
        image,
        dims=("band", "y", "x"),
        coords={"y": -np.arange(height) - 0.5, "x": np.arange(width) + 0.5},
    )
    array = array.rio.write_crs("EPSG:32640").assign_attrs(long_name=("red", "green", "blue"))
    heads = rsmtl.predict(scene_from_arrays({"image": array}), rsmtl.load_model(model))
    found: NDArray[np.uint8] = heads[HEAD].values
    return found


def draw(
    path: Path, title: str, image: NDArray[Any], found: NDArray[np.uint8], truth: NDArray[np.uint8]
) -> None:
    """Draw image, class map and truth side by side, large enough for a phone."""
    step = max(1, round(max(truth.shape) / EDGE_PX))
    present = [one for k, one in enumerate(CLASSES) if (truth == k).any() or (found == k).any()]
    height_in = WIDTH_IN / 3 * truth.shape[0] / truth.shape[1] + 0.95
    figure = Figure(figsize=(WIDTH_IN, height_in), dpi=DPI, layout="constrained")
    figure.suptitle(title, fontsize=10)
    panels = {
        "image": image.transpose(1, 2, 0)[::step, ::step],
        "class map": colored(found[::step, ::step], CLASSES),
        "truth": colored(truth[::step, ::step], CLASSES),
    }
    for axes, (name, pixels) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        axes.imshow(pixels)
        axes.set_title(name, fontsize=10)
        axes.set_axis_off()
    handles = [Patch(facecolor=hex_of(one), label=one.name) for one in present]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=len(handles),
        fontsize=10,
        frameon=False,
        columnspacing=1.2,
        handlelength=1.2,
        handletextpad=0.5,
    )
    drawn = io.BytesIO()
    figure.savefig(drawn)
    few_colors(Image.open(drawn), [one.color for one in present]).save(path, optimize=True)


def main() -> None:
    """Draw the picture of one image of the test tiles."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("folder", type=Path, help="folder of the data set, with tile1 to tile8")
    arguments.add_argument(
        "--image", default="tile7/image_part_004", help="default: %(default)s, a test image"
    )
    arguments.add_argument("--model", default="urec-dubai", help="default: %(default)s")
    given = arguments.parse_args()
    stem = given.folder / given.image
    image = read_rgb(stem.with_suffix(".jpg"))
    truth = decode_colors(read_rgb(stem.with_suffix(".png")), MASK_COLORS)
    found = classes_of(image, given.model)
    of_image: Scores = scores(confusion_matrix(truth, found, len(CLASSES), IGNORE))
    name = given.image.replace("tile", "tile ").replace("/image_part_", ", no. ")
    right = f"{of_image.overall_accuracy * 100:.0f} % of the pixels right"
    draw(PICTURE, f"Dubai, {name}: mean IoU {of_image.mean_iou:.2f}, {right}", image, found, truth)
    print(f"{PICTURE}: mean IoU {of_image.mean_iou:.3f}")


if __name__ == "__main__":
    main()
