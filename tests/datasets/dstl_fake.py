"""A small data set in exactly the layout of Kaggle's Dstl one: images of one scene differ by some pixels in size."""

import csv
from pathlib import Path

import numpy as np

from tests.datasets.vaihingen_fake import write_raster

IMAGES = ("6010_1_2", "6040_2_2", "6100_2_3")
X_MAX, Y_MIN = 0.009169, -0.009042
PAN, MS, HRMS = (163, 170), (41, 42), (162, 171)
COMMON = (160, 168)
"""What of PAN all three have, in whole pixels of MS."""
SQUARE = (20, 40, 30, 70)
"""First and last row, first and last column of the trees of the first image, in PAN pixels."""


def write_fake_dstl(folder: Path) -> None:
    """Write three scenes; the first has a square of trees, the second a square with a hole, the third none."""
    rng = np.random.default_rng(0)
    for image in IMAGES:
        pan, ms, hrms = (
            rng.integers(0, 2048, (n_bands, *shape), dtype=np.uint16)
            for n_bands, shape in ((1, PAN), (8, MS), (3, HRMS))
        )
        ms[:, 0, 0] = range(1, 9)
        write_raster(folder / "sixteen_band" / f"{image}_P.tif", pan)
        write_raster(folder / "sixteen_band" / f"{image}_M.tif", ms)
        write_raster(folder / "three_band" / f"{image}.tif", hrms)
    top, bottom, left, right = SQUARE
    hole = ring(top + 5, bottom - 5, left + 10, right - 10)
    trees = {
        IMAGES[0]: f"MULTIPOLYGON (({ring(*SQUARE)}), ({ring(top, bottom, left + 5, right)}))",
        IMAGES[1]: f"MULTIPOLYGON (({ring(*SQUARE)}, {hole}))",
        IMAGES[2]: "MULTIPOLYGON EMPTY",
    }
    crops = f"MULTIPOLYGON (({ring(0, 160, 0, 160)}))"
    write_rows(
        folder / "train_wkt_v4.csv",
        [["ImageId", "ClassType", "MultipolygonWKT"]]
        + [[image, str(k), trees[image] if k == 5 else crops] for image in IMAGES for k in range(1, 11)],
    )
    grid = [["", "Xmax", "Ymin"], *([image, str(X_MAX), str(Y_MIN)] for image in (*IMAGES, "6999_0_0"))]
    write_rows(folder / "grid_sizes.csv", grid)


def ring(top: int, bottom: int, left: int, right: int) -> str:
    """Return a rectangle between pixels' edges as a ring of WKT, by the competition's rule."""
    y_scale, x_scale = (n * n / (n + 1) for n in PAN)
    corners = ((top, left), (top, right), (bottom, right), (bottom, left), (top, left))
    return "(" + ", ".join(f"{x * X_MAX / x_scale!r} {y * Y_MIN / y_scale!r}" for y, x in corners) + ")"


def write_rows(path: Path, rows: list[list[str]]) -> None:
    """Write a table with commas."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
