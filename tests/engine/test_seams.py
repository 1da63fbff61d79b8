"""Grids that windows leave are found and named, whatever they are made of; none where there is none."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from rsmtl.config import Settings
from rsmtl.engine.pieces import ALONG_PX, N_PIECES, PIECE_PX
from rsmtl.engine.product import Product, write
from rsmtl.engine.seam import Seam
from rsmtl.engine.seams import measure, seams
from rsmtl.errors import InputError
from rsmtl.models.checkpoint import load_model
from rsmtl.models.spec import HeadSpec
from rsmtl.scene.open import open_scene
from tests import fakes

WINDOW, OVERLAP = 128, 32
STRIDE = WINDOW - OVERLAP
SIZES = Settings(window=WINDOW, overlap=OVERLAP, chunk=2)
CLASSES = {"flag_values": [0, 1, 2, 3], "flag_meanings": "water field wood town", "_FillValue": 255}


def stored(values: NDArray, **attributes: object) -> xr.DataArray:
    return xr.DataArray(values, dims=("band", "y", "x"), attrs=attributes)


def look(values: NDArray, seed: int = 0, overlap: int = OVERLAP, **attributes: object) -> Seam:
    found = measure(stored(values, **attributes), "any", WINDOW, overlap, seed=seed)
    assert found is not None
    return found


def ground(kind: str, size: int, seed: int) -> NDArray[np.float32]:
    """A scene that no window has seen."""
    rng = np.random.default_rng(seed)
    if kind == "noise":
        return rng.normal(500, 20, (1, size, size)).astype(np.float32)
    if kind == "walk":
        return rng.normal(size=(1, size, size)).cumsum(1).cumsum(2).astype(np.float32)
    if kind == "flat":
        return np.full((1, size, size), 7, np.float32)
    if kind == "one pixel":
        return (
            np.eye(1, size * size, int(rng.integers(size * size))).reshape(1, size, size).astype(np.float32)
        )
    values = np.full((1, size, size), 500, np.float32)
    for _ in range(300):  # fields and houses; long ones are roads
        y, x = rng.integers(0, size, 2)
        height, width = rng.integers(3, 150, 2) if kind == "fields" else rng.permutation([5, size])
        values[:, y : y + height, x : x + width] = rng.normal(500, 40)
        if kind == "roads" and rng.random() < 0.06:
            break
    return values


def classes_of(values: NDArray, seed: int = 0) -> NDArray[np.uint8]:
    """Four classes by value, with ragged borders."""
    rough = values + np.random.default_rng(seed).normal(0, 8, values.shape)
    return np.digitize(rough[:1], np.percentile(rough, [20, 50, 80])).astype(np.uint8)


def in_overlaps(size: int, stride: int = STRIDE, overlap: int = OVERLAP) -> NDArray[np.bool_]:
    place = np.arange(size)
    line = (place >= stride) & (place % stride < overlap)
    return line[:, None] | line[None]


KINDS = ("noise", "walk", "flat", "one pixel", "fields", "roads")


@settings(max_examples=10)
@given(
    kind=st.sampled_from(KINDS),
    size=st.integers(20, 900),
    seed=st.integers(0, 2**32 - 1),
    overlap=st.sampled_from([0, 7, 32, 64]),
)
def test_there_is_no_grid_where_no_window_was(kind: str, size: int, seed: int, overlap: int) -> None:
    values = ground(kind, size, seed)
    for found in (
        measure(stored(values), "any", WINDOW, overlap, seed=seed),
        measure(stored(classes_of(values), **CLASSES), "any", WINDOW, overlap, seed=seed),
    ):
        # one in a thousand may pass for a grid by chance; none that is far from it may
        assert found is None or not found.is_grid or found.chance > 0.0002


@pytest.mark.parametrize("kind", KINDS[:4])
def test_false_alarms_are_rare(kind: str) -> None:
    found = [look(ground(kind, 500, seed), seed) for seed in range(6)]
    assert sum(one.is_grid for one in found) == 0


@pytest.mark.parametrize(
    ("seed", "dark", "overlap"), [(0, 1.5, 16), (1, 4, 32), (2, 38, 32), (3, 12, 24), (4, 9, 16)]
)
def test_bands_are_found_and_named_by_width_and_amplitude(seed: int, dark: float, overlap: int) -> None:
    bands = in_overlaps(800, WINDOW - overlap, overlap)
    noise = np.random.default_rng(seed).normal(500, 3, (2, 800, 800))
    found = look((noise - dark * bands).astype(np.float32), seed, overlap)
    assert found.verdict == "bands"
    assert found.width_px == overlap
    assert found.amplitude == pytest.approx(-dark, rel=0.2)
    assert found.words.startswith(f"a grid of {overlap} px bands, {-found.amplitude:.2g} dark")
    assert found.noise < dark / 5


def test_the_words_say_which_way_and_how_much() -> None:
    counts = np.full((1, 800, 800), 400, np.uint16) + (25 * in_overlaps(800)).astype(np.uint16)
    counts += np.random.default_rng(0).integers(0, 3, counts.shape, dtype=np.uint16)
    found = replace(look(counts), compared=True)
    assert found.words == "a grid of 32 px bands, 25 DN bright"
    classes = classes_of(ground("noise", 800, 0))
    changed = in_overlaps(800) & (np.random.default_rng(1).random((800, 800)) < 0.2)
    found = look(np.where(changed, np.uint8(2), classes), **CLASSES)
    assert found.verdict == "bands"
    assert (found.channel, found.unit) == ("wood", "% of the pixels")
    assert found.amplitude == pytest.approx(20 * 0.7, rel=0.2)  # as much as is not wood already
    assert found.words.startswith("a grid of 32 px bands, 14 % of the pixels more 'wood' (not compared")
    assert look(classes, **CLASSES).words == "no visible grid"


def test_steps_of_either_sign_are_found() -> None:
    rng = np.random.default_rng(3)
    levels = rng.normal(0, 30, (7, 7)).repeat(WINDOW, 0).repeat(WINDOW, 1)[:850, :850]
    found = look((ground("noise", 850, 1)[0, :, :] * 0.2 + levels)[None].astype(np.float32), overlap=0)
    assert found.verdict == "steps"
    assert found.words.startswith("steps of ")
    other = (levels > 0).astype(np.uint8)[None] ^ (rng.random((1, 850, 850)) < 0.05)
    found = look(other.astype(np.uint8), overlap=0, **CLASSES)
    assert found.verdict == "steps"
    assert found.amplitude > 4 * found.elsewhere


def test_invalid_pixels_show_nothing() -> None:
    values = ground("noise", 800, 3) - 20 * in_overlaps(800)
    torn = values.copy()
    torn[:, fakes.ragged_nodata(800, 800)] = np.nan
    torn[:, np.random.default_rng(0).random((800, 800)) < 0.1] = np.nan
    assert look(torn).amplitude == pytest.approx(-20, rel=0.2)
    counts = np.nan_to_num(torn).astype(np.uint16)
    assert look(counts, _FillValue=0).amplitude == pytest.approx(-20, rel=0.2)
    sparse = np.where(np.random.default_rng(0).random((1, 800, 800)) < 0.9, 0, ground("noise", 800, 3))
    assert not look(sparse.astype(np.uint16), _FillValue=0).is_grid
    assert measure(stored(np.full((1, 800, 800), np.nan)), "a", WINDOW, OVERLAP) is None


@pytest.mark.parametrize(("size", "verdict"), [(100, None), (150, "too few lines"), (224, "too few lines")])
def test_few_windows_tell_nothing(size: int, verdict: str | None) -> None:
    found = measure(stored(ground("noise", size, 0)), "a", WINDOW, OVERLAP)
    assert (found and found.verdict) == verdict


def test_what_is_read_does_not_grow_with_the_scene() -> None:
    read: list[int] = []

    class Backend:
        dtype, shape, ndim = np.dtype("float32"), (1, 10**6, 10**6), 3
        attrs: dict[str, object] = {}

        def __len__(self) -> int:
            return 1

        def __getitem__(self, where: tuple[slice, ...]) -> xr.DataArray:
            shape = tuple(len(range(*s.indices(n))) for s, n in zip(where, self.shape, strict=True))
            read.append(int(np.prod(shape)))
            return stored(np.random.default_rng(0).normal(size=shape).astype(np.float32))

    assert measure(Backend(), "a", 4096, 256) is not None  # type: ignore[arg-type]
    assert max(read) <= max(PIECE_PX, ALONG_PX[0] * 2 * 4096)
    assert len(read) <= 2 * N_PIECES + 8


def test_the_same_seed_gives_the_same_figures() -> None:
    values = ground("fields", 900, 1)
    assert look(values, 5) == look(values, 5) != look(values, 6)


class Dark(nn.Module):
    """Gives back its image, darker by so much near a window's edge."""

    def __init__(self, amount: float, reach: int) -> None:
        super().__init__()
        self.amount, self.reach = amount, reach

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        dark = torch.ones(image.shape[2:])
        dark[self.reach : -self.reach, self.reach : -self.reach] = 0
        return {"same": image - self.amount * dark.to(image)}


def dark(amount: float, reach: int = OVERLAP, margin: int = 0) -> object:
    made = fakes.one_input_model(
        Dark(amount, reach), 1, HeadSpec(name="same", channels=1, kind="continuous", like="image")
    )
    heads = tuple(head.model_copy(update={"margin": margin}) for head in made.spec.heads)
    return replace(made, spec=made.spec.model_copy(update={"heads": heads}))


@pytest.fixture(scope="module")
def fields_tiff(tmp_path_factory: pytest.TempPathFactory) -> Path:
    values = ground("fields", 720, 4).clip(1, 2047).astype(np.uint16)
    return fakes.write_tiff(tmp_path_factory.mktemp("scene") / "scene.tif", values, nodata=0)


def product_of(tiff: Path, model: object, out: Path, sizes: Settings = SIZES) -> Product:
    return write(open_scene(tiff), model, out, sizes)  # type: ignore[arg-type]


@pytest.mark.parametrize("amount", [12.0, 60.0])
def test_a_model_that_is_dark_at_its_edges_leaves_a_grid(
    amount: float, fields_tiff: Path, tmp_path: Path
) -> None:
    (found,) = seams(product_of(fields_tiff, dark(amount), tmp_path).folder)
    assert found.words == f"a grid of 32 px bands, {-found.amplitude:.2g} DN dark"
    assert found.amplitude == pytest.approx(-amount, rel=0.2)


def test_its_margin_takes_the_grid_away(fields_tiff: Path, tmp_path: Path) -> None:
    sizes = Settings(window=WINDOW, overlap=48, chunk=2)
    (found,) = seams(product_of(fields_tiff, dark(60, reach=16, margin=16), tmp_path, sizes).folder)
    assert found.words == "no visible grid"


@pytest.mark.parametrize(("overlap", "verdict"), [(0, "steps"), (64, "no grid")])
def test_windows_that_disagree_leave_steps_without_overlap(
    overlap: int, verdict: str, tmp_path: Path
) -> None:
    scene = fakes.make_scene(fakes.textured((1, 700, 700)) / 1000)
    sizes = Settings(window=WINDOW, overlap=overlap, chunk=2)
    (found,) = seams(write(scene, fakes.position_dependent(), tmp_path, sizes).folder)
    assert found.verdict in (verdict, "bands" if overlap else verdict)


def rows_of_crops(period: int, lit: int) -> NDArray[np.uint16]:
    """Rows and columns that lie as the windows do, on rough ground."""
    place = (np.arange(800) - OVERLAP // 2) % period < lit
    values = (
        800 + 300 * (place[:, None] | place[None]) + np.random.default_rng(2).normal(0, 30, (1, 800, 800))
    )
    return values.astype(np.uint16)


@pytest.mark.parametrize(("period", "lit"), [(STRIDE, 20), (STRIDE, 48), (STRIDE // 4, 8)])
def test_crops_that_lie_as_the_windows_do_are_no_grid(period: int, lit: int, tmp_path: Path) -> None:
    tiff = fakes.write_tiff(tmp_path / "crops.tif", rows_of_crops(period, lit), nodata=0)
    (same,) = seams(product_of(tiff, fakes.identity(), tmp_path / "same").folder)
    assert not same.is_grid
    (classes,) = seams(product_of(tiff, fakes.class_mixer(1), tmp_path / "classes").folder)
    assert not classes.is_grid
    (grid,) = seams(product_of(tiff, dark(200), tmp_path / "dark").folder)
    assert grid.is_grid  # beside the crops
    tiff.unlink()  # now nothing tells the crops from a grid
    (unsure,) = seams(tmp_path / "same" / "crops")
    assert "not compared with the scene" in unsure.words or not unsure.is_grid


def test_where_there_is_no_product_there_are_no_seams(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no product in"):
        seams(tmp_path)


@pytest.mark.real
@pytest.mark.parametrize(
    ("window", "overlap", "margin", "is_grid"), [(256, 64, 0, True), (512, 256, 96, False)]
)
def test_dubai(
    window: int, overlap: int, margin: int, is_grid: bool, real_data: Path, tmp_path: Path
) -> None:
    pixels = np.moveaxis(np.asarray(Image.open(real_data / "dubai" / "tile7" / "image_part_004.jpg")), -1, 0)
    tiff = fakes.write_tiff(tmp_path / "dubai.tif", pixels)
    model = load_model("urec-dubai")
    sizes = Settings(window=window, overlap=overlap, margin=margin, heads=fakes.UREC_HEADS)
    product = write(open_scene(tiff), model, tmp_path, sizes)
    found = {seam.output: seam for seam in seams(product.folder)}["reconstruction"]
    assert found.is_grid == is_grid
    if is_grid:
        assert found.words == f"a grid of {found.width_px} px bands, {-found.amplitude:.2g} DN dark"
        assert 2 < -found.amplitude < 11
