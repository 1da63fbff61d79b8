from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from rsmtl.models.spec import ClassSpec
from rsmtl.store.cog import write_cog
from rsmtl.store.quicklook import (
    EMPTY,
    Look,
    Panel,
    colored,
    draw,
    few_colors,
    input_panel,
    scale_bar,
    stretched,
    visible,
    write_quicklook,
)
from tests.store.products import CLASSES, HRMS, SEGMENTATION, array_of, blobs, utm

GREY = EMPTY
NAMES = ("blue", "green", "red", "nir")


def colors_of(path: Path) -> set[tuple[int, ...]]:
    pixels = (matplotlib.image.imread(path)[..., :3] * 255).round().astype(int)
    return set(map(tuple, pixels.reshape(-1, 3).tolist()))


def make_product(folder: Path, height: int, width: int) -> NDArray[np.float32]:
    """Write a class map and an image whose first columns are not valid; return the image, reduced."""
    grid, classes = utm(height, width), blobs(height, width, 3)
    values = np.random.default_rng(0).integers(1, 4000, (4, height, width), dtype=np.uint16)
    classes[:, : width // 4], values[..., : width // 4] = 255, 0
    write_cog(
        array_of(grid, classes[None]), folder / "segmentation.tif", nodata=255, bands=("c",), classes=CLASSES
    )
    write_cog(array_of(grid, values), folder / "hrms.tif", nodata=0, bands=HRMS.bands)
    image = values.astype(np.float32)
    image[:, values[0] == 0] = np.nan
    step = max(1, -(-max(height, width) // 1024))
    return image[:, ::step, ::step]


@pytest.mark.parametrize(("height", "width"), [(300, 400), (1, 1), (3, 700), (1500, 120)])
def test_classes_have_their_colours_and_what_is_not_valid_is_grey(
    tmp_path: Path, height: int, width: int
) -> None:
    image = make_product(tmp_path, height, width)
    panel = input_panel("image", image, NAMES, utm(*image.shape[1:]))
    look = Look("S2A_29RKH", "2024-05-01 10:12 · urec", (panel,), (panel, panel), {HRMS.like: (0.0, 0.4)})
    write_quicklook(tmp_path, look, (SEGMENTATION, HRMS))
    colors = colors_of(tmp_path / "quicklook.png")
    if width > 100:
        assert {c.color for c in CLASSES} <= colors
        assert (GREY, GREY, GREY) in colors
    assert [p.name for p in tmp_path.glob("*.png")] == ["quicklook.png"]


def test_a_scene_without_a_valid_pixel_is_drawn(tmp_path: Path) -> None:
    grid = utm(50, 60)
    empty = np.full((1, 50, 60), 255, np.uint8)
    write_cog(array_of(grid, empty), tmp_path / "segmentation.tif", nodata=255, bands=("c",), classes=CLASSES)
    panel = input_panel("image", np.full((4, 50, 60), np.nan, np.float32), NAMES, grid)
    write_quicklook(tmp_path, Look("empty", inputs=(panel,)), (SEGMENTATION,))
    assert (GREY, GREY, GREY) in colors_of(tmp_path / "quicklook.png")


@pytest.mark.parametrize(
    ("title", "n", "at_least"),
    [("$\\frac{", 120, 600), *((title, 2, 100) for title in ("x" * 200, "", "a\nb", "日本", "_^{}"))],
)
def test_any_title_and_any_number_of_classes(tmp_path: Path, title: str, n: int, at_least: int) -> None:
    classes = tuple(ClassSpec(name=f"$class {k}_", color=(k, 255 - k, 7)) for k in range(n))
    panel = Panel(title, colored(np.arange(n, dtype=np.uint8)[None], classes), classes)
    draw(tmp_path / "x.png", title, [panel])
    height, width = matplotlib.image.imread(tmp_path / "x.png").shape[:2]
    assert width == 600
    assert at_least < height < 4000


def test_bands_are_found_by_their_names() -> None:
    values = np.arange(4)[:, None, None]
    assert visible(values, NAMES).ravel().tolist() == [2, 1, 0]
    assert visible(values, ("Red", "NIR", "Green", "Blue")).ravel().tolist() == [0, 2, 3]
    assert visible(values, ("a", "b", "c", "d")).ravel().tolist() == [0, 1, 2]
    assert visible(values[:2], ("red", "nir")).ravel().tolist() == [0]


def test_the_stretch_keeps_colours_and_ignores_what_is_not_valid() -> None:
    ramp = np.linspace(0, 1000, 10_000, dtype=np.float32).reshape(1, 100, 100)
    values = np.concatenate((ramp, ramp / 2, ramp / 4))
    values[:, 0, 0] = np.nan
    shown = stretched(values)
    assert shown.shape == (100, 100, 3)
    assert shown[0, 0].tolist() == [GREY] * 3
    assert (shown[1:, :, 0] >= shown[1:, :, 1]).all()
    assert shown[-1, -1, 0] == 255
    assert stretched(np.full((1, 2, 2), 7, np.float32)).shape == (2, 2, 3)


def test_threads_may_draw_at_once(tmp_path: Path) -> None:
    image = make_product(tmp_path, 200, 300)
    panel = Panel("input", stretched(image[:3]))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda k: draw(tmp_path / f"{k}.png", "same", [panel, panel]), range(8)))
    assert len({(tmp_path / f"{k}.png").read_bytes() for k in range(8)}) == 1


@pytest.mark.parametrize(
    ("width_m", "bar_m"), [(1000, 200), (999_000, 200_000), (7, 2), (0.5, 0.1), (3400, 1000), (1700, 500)]
)
def test_the_scale_bar_is_a_round_number(width_m: float, bar_m: float) -> None:
    assert scale_bar(width_m) == (pytest.approx(bar_m), pytest.approx(bar_m / width_m))


def test_few_colours_keep_those_of_classes() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    kept = [(206, 101, 94), (236, 208, 140), (3, 200, 77)]
    pixels[:3, 0] = kept
    few = np.asarray(few_colors(Image.fromarray(pixels), kept).convert("RGB"))
    assert few[:3, 0].tolist() == [list(color) for color in kept]
    assert len(np.unique(few.reshape(-1, 3), axis=0)) <= 256
