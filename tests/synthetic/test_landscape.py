"""The promise: any window is, bit for bit, that part of the whole scene; and the look of a world never changes."""

import hashlib
from dataclasses import replace
from functools import cache

import dask
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter

from rsmtl.errors import InputError
from rsmtl.synthetic import CLASS_NODATA, CLASSES, Landscape, Rendered
from rsmtl.synthetic import landscape as landscape_module

ALL = slice(None)
PRODUCTS = ("hrms", "pan", "ms", "classes")

SCENES = {
    "village": Landscape(
        seed=21, height_px=700, width_px=611, origin_px=(400, 1200), collar=True, clouds=True
    ),
    "river": Landscape(seed=40, height_px=400, width_px=700, origin_px=(-400, -80_000)),
    "coarse": Landscape(seed=2**40 + 3, height_px=333, width_px=250, gsd_m=2.0, clouds=True),
}


@cache
def whole(name: str) -> Rendered:
    return SCENES[name].render(ALL, ALL)


def digest(scene: Landscape) -> str:
    rendered = scene.render(ALL, ALL)
    parts = (rendered.classes, rendered.hrms, rendered.pan, rendered.ms, rendered.valid)
    return hashlib.sha256(
        b"".join(part.astype(part.dtype.newbyteorder("<")).tobytes() for part in parts)
    ).hexdigest()


@settings(max_examples=25)
@given(st.sampled_from(sorted(SCENES)), st.data())
def test_any_window_is_that_part_of_the_whole_scene(name, data):
    scene = SCENES[name]
    top = data.draw(st.integers(0, scene.height_px - 1), label="top")
    left = data.draw(st.integers(0, scene.width_px - 1), label="left")
    bottom = data.draw(st.integers(top + 1, min(top + 300, scene.height_px)), label="bottom")
    right = data.draw(st.integers(left + 1, min(left + 300, scene.width_px)), label="right")
    window, expected = scene.render(slice(top, bottom), slice(left, right)), whole(name)
    for product in ("classes", "hrms", "pan", "valid"):
        assert np.array_equal(
            getattr(window, product), getattr(expected, product)[..., top:bottom, left:right]
        ), product
    assert np.array_equal(window.ms, expected.ms[:, top // 4 : -(-bottom // 4), left // 4 : -(-right // 4)])


@pytest.mark.parametrize("edge", [64, 100])
def test_the_pieces_of_a_large_window_leave_no_trace(edge, monkeypatch):
    scene = replace(SCENES["village"], height_px=300, width_px=260)
    expected = scene.render(ALL, ALL)
    monkeypatch.setattr(landscape_module, "_PIECE_PX", edge)
    found = scene.render(ALL, ALL)
    for product in ("classes", "hrms", "pan", "ms", "valid"):
        assert np.array_equal(getattr(found, product), getattr(expected, product)), product


def test_neighbouring_scenes_are_places_of_one_world():
    scene = replace(SCENES["river"], collar=False)
    row, column = scene.origin_px
    moved = replace(scene, origin_px=(row + 120, column + 64), height_px=100, width_px=200)
    expected, found = whole("river"), moved.render(ALL, ALL)
    assert np.array_equal(found.hrms, expected.hrms[:, 120:220, 64:264])
    assert np.array_equal(found.ms, expected.ms[:, 30:55, 16:66])


def test_seeds_make_different_worlds():
    scenes = [Landscape(seed, 128, 128).render(ALL, ALL).hrms for seed in (0, 1, 2**32, 2**32 + 1)]
    assert len({scene.tobytes() for scene in scenes}) == 4


@pytest.mark.parametrize(
    ("name", "sha256"),
    [
        ("village", "5fa9ff9c2bf20f9002a64ff9cf2c7e66f8696ace818dfa4c10bd594d3656e5b2"),
        ("river", "96196b39b06cbff215e335bc4297d648c428a0c697b02e538816088ebb6a5b7d"),
        ("coarse", "d859e48f5697a799144e401166278d58d7e42bbf29c355fd47ec13b95bc05b9c"),
    ],
)
def test_worlds_stay_as_they_are(name, sha256):
    """Models were trained on these pixels: whoever changes them trains the models again."""
    assert digest(SCENES[name]) == sha256


def test_every_class_has_its_share():
    shares = np.zeros(len(CLASSES))
    for seed in range(4):
        rendered = Landscape(seed, 1024, 1024, origin_px=(2000 * seed, 0)).render(ALL, ALL)
        shares += np.bincount(rendered.classes.ravel(), minlength=len(CLASSES)) / rendered.classes.size / 4
    assert dict(zip((c.name for c in CLASSES), shares, strict=True)) == pytest.approx(
        {"field": 0.4, "grass": 0.28, "road": 0.08, "building": 0.04, "tree": 0.15, "water": 0.05}, rel=0.9
    )
    assert shares.sum() == pytest.approx(1)


def test_classes_can_be_told_from_colour_in_another_world():
    """A histogram of smoothed colours, the simplest of models, learns one world and is tried in another."""

    def colours(seed):
        rendered = Landscape(seed, 768, 768).render(ALL, ALL)
        smooth = np.stack([uniform_filter(band.astype(np.float32), 5) for band in rendered.hrms])
        level = np.clip(np.sqrt(smooth) / 2, 0, 23).astype(int)
        return (level[0] * 24 + level[1]) * 24 + level[2], rendered.classes

    votes = np.zeros((24**3, len(CLASSES)))
    for seed in (1, 21):
        np.add.at(votes, colours(seed), 1)
    found, truth = votes.argmax(axis=1)[colours(40)[0]], colours(40)[1]
    assert (found == truth).mean() > 0.8


def test_shadows_darken_and_fall_to_the_north_west():
    rendered = SCENES["village"].render(ALL, ALL)
    building = rendered.classes == 3
    ground = (rendered.classes == 1) & rendered.valid
    beside = {
        name: np.roll(building, shift, axis=(0, 1)) & ground
        for name, shift in {"north-west": (-6, -4), "south-east": (6, 4)}.items()
    }
    red = {name: np.median(rendered.hrms[0][where]) for name, where in beside.items()}
    assert red["north-west"] < 0.7 * red["south-east"]


def test_the_collar_is_nodata_in_every_product_and_slanted():
    rendered = whole("village")
    valid, ms_valid = rendered.valid, rendered.valid[::4, ::4]
    assert np.array_equal(rendered.classes == CLASS_NODATA, ~valid)
    for image, mask in ((rendered.hrms, valid), (rendered.pan, valid), (rendered.ms, ms_valid)):
        assert np.array_equal((image == 0).any(axis=0), ~mask)
        assert np.array_equal((image == 0).all(axis=0), ~mask)
    assert 0.6 < valid.mean() < 0.95
    first = np.where(valid.any(axis=1), valid.argmax(axis=1), 611)[20:-60]
    assert first[0] > first[-1]
    assert (np.diff(first) <= 0).all()
    for corner in (valid[0, 0], valid[0, -1], valid[-1, 0], valid[-1, -1]):
        assert not corner


@pytest.mark.parametrize("size", [(1, 1), (1, 37), (5, 3), (97, 96)])
def test_any_size_works(size):
    scene = Landscape(3, *size, collar=True, clouds=True)
    rendered = scene.render(ALL, ALL)
    assert rendered.hrms.shape == (3, *size)
    assert rendered.pan.shape == (1, *size)
    assert rendered.ms.shape == (4, -(-size[0] // 4), -(-size[1] // 4))
    assert rendered.classes.shape == rendered.valid.shape == size
    assert rendered.valid.any()


def test_clouds_hide_the_ground_but_not_the_truth():
    scene = Landscape(seed=5, height_px=512, width_px=512, origin_px=(600, 1000), clouds=True)
    clear, clouded = (replace(scene, clouds=clouds).render(ALL, ALL) for clouds in (False, True))
    assert np.array_equal(clear.classes, clouded.classes)
    assert np.array_equal(clear.valid, clouded.valid)
    difference = clouded.hrms.astype(int) - clear.hrms
    assert (difference > 300).mean() > 0.01
    assert (difference < -50).mean() > 0.01


@pytest.mark.parametrize("product", PRODUCTS)
def test_the_lazy_array_holds_the_same_pixels_on_the_right_ground(product):
    scene = SCENES["village"]
    image = scene.to_xarray(product, chunk_px=256)
    assert dask.is_dask_collection(image.data)
    expected = whole("village").image(product)
    assert image.dims == ("band", "y", "x")
    assert image.dtype == expected.dtype
    assert np.array_equal(image.compute(scheduler="synchronous").values, expected)
    edge = 2.0 if product == "ms" else 0.5
    assert image.rio.crs.to_epsg() == 32632
    assert image.rio.nodata == (255 if product == "classes" else 0)
    assert tuple(image.rio.transform())[:6] == (edge, 0.0, 500_600.0, 0.0, -edge, 5_399_800.0)
    assert image.x.values[0] == 500_600.0 + edge / 2
    assert image.y.values[0] == 5_399_800.0 - edge / 2
    if product in ("hrms", "ms"):
        assert image.attrs["long_name"] == ("red", "green", "blue", "nir")[: len(expected)]


def test_the_lazy_array_has_the_same_name_every_time():
    names = {SCENES["river"].to_xarray("hrms").data.name for _ in range(2)}
    assert len(names) == 1
    assert SCENES["village"].to_xarray("hrms").data.name not in names


def test_a_slice_of_a_huge_scene_renders_just_its_chunk():
    image = Landscape(5, 10**5, 10**5).to_xarray("pan")
    part = image[0, 70_000:70_010, 12_340:12_360].compute(scheduler="synchronous")
    expected = Landscape(5, 10, 20, origin_px=(70_000, 12_340)).render(ALL, ALL).pan[0]
    assert np.array_equal(part.values, expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Landscape(0, 0, 5), "a landscape needs at least 1 × 1 pixels, but 0 × 5 were asked for"),
        (lambda: Landscape(0, 5, 5, origin_px=(2, 4)), r"multiples of 4 pixels, but it is \(2, 4\): move it"),
        (lambda: Landscape(0, 5, 5, gsd_m=30.0), "GSD must lie between 0.05 and 10.0 m, but it is 30.0 m"),
        (
            lambda: Landscape(0, 5, 5).render(slice(0, 6), ALL),
            "a window's y must be a slice with 0 ≤ start < stop ≤ 5",
        ),
        (
            lambda: Landscape(0, 5, 5).render(ALL, slice(3, 3)),
            r"a window's x .* but it is slice\(3, 3, None\)",
        ),
        (lambda: Landscape(0, 5, 5).render(ALL, slice(0, 4, 2)), "and no step"),
        (
            lambda: Landscape(0, 5, 5).to_xarray("pan", chunk_px=30),
            "positive multiple of 4 pixels, but it is 30",
        ),
        (
            lambda: Landscape(0, 5, 5).to_xarray("rgb"),
            "products hrms, pan, ms, classes, but 'rgb' was asked for",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(make, message):
    with pytest.raises(InputError, match=message):
        make()
