"""`predict`: right for every size, lazy to the window, the same bits for every layout and scheduler."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from rsmtl.config import Settings
from rsmtl.engine.lazy import predict
from rsmtl.errors import PlanError
from rsmtl.lattice import Lattice
from rsmtl.models.model import Model
from rsmtl.scene.open import open_scene
from rsmtl.scene.scene import Scene, Storage
from tests import fakes
from tests.marks import SHARED

SIZES = [(1, 1), (31, 97), (96, 96), (97, 96), (611, 733), (200, 733), (600, 700)]
SMALL = Settings(window=96, overlap=32)
BOTH = Settings(window=128, overlap=32, heads=fakes.UREC_HEADS)


@pytest.fixture(params=["synchronous", "threads", pytest.param("distributed", marks=SHARED)])
def scheduler(request: pytest.FixtureRequest) -> str:
    """What `compute(scheduler=…)` takes; a cluster has two worker processes."""
    if request.param == "distributed":
        request.getfixturevalue("workers")
    return str(request.param)


@pytest.mark.parametrize("chunk", [1, 2, 3, 5])
@pytest.mark.parametrize("size", SIZES)
def test_identity_gives_back_every_integer(size, chunk: int, scheduler: str) -> None:
    values = np.random.default_rng(0).integers(1, 65536, (2, *size)).astype(np.float32)
    scene = fakes.make_scene(values, Storage("uint16", nodata=0))
    lazy = predict(scene, fakes.identity(2, high=65535), SMALL.model_copy(update={"chunk": chunk}))
    got = lazy.same.compute(scheduler=scheduler).values
    assert got.dtype == np.uint16
    assert (got == values).all()


@pytest.mark.parametrize("size", SIZES)
def test_identity_gives_back_floats_to_a_millionth(size) -> None:
    values = fakes.textured((1, *size)) + 1e-3
    got = predict(fakes.make_scene(values), fakes.identity(), SMALL).same.compute(scheduler="threads").values
    np.testing.assert_allclose(got, values[0], rtol=1e-6, atol=0)


@given(
    size=st.tuples(st.integers(1, 150), st.integers(1, 150)),
    window=st.integers(2, 40),
    data=st.data(),
    chunk=st.integers(1, 6),
    blend=st.sampled_from(["linear", "cosine"]),
    batch=st.integers(1, 5),
)
@hypothesis_settings(max_examples=25)
def test_identity_holds_for_any_layout(size, window: int, data, chunk: int, blend, batch: int) -> None:
    overlap = data.draw(st.integers(0, window // 2))
    options = Settings(window=window, overlap=overlap, chunk=chunk, blend=blend, batch=batch)
    assume(Lattice(*size, window, overlap).n_windows <= 400)
    values = np.random.default_rng(1).integers(1, 256, (1, *size)).astype(np.float32)
    lazy = predict(fakes.make_scene(values, Storage("uint8", nodata=0)), fakes.identity(high=255), options)
    assert (lazy.same.compute(scheduler="synchronous").values == values[0]).all()


def digest(found: xr.Dataset) -> str:
    """One sha256 of every output."""
    joined = hashlib.sha256()
    for name in sorted(found.data_vars):
        joined.update(name.encode() + np.ascontiguousarray(found[name].values).tobytes())
    return joined.hexdigest()


@pytest.fixture(scope="module")
def ragged(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A scene on the disk, with a ragged nodata area."""
    return open_scene(fakes.ragged_tiff(tmp_path_factory.mktemp("ragged") / "ragged.tif", 260, 305))


@pytest.mark.usefixtures("workers")
def test_the_bits_do_not_depend_on_chunks_or_scheduler(ragged: Scene) -> None:
    model = fakes.random_urec(high=2047)
    layouts = [(c, s) for c in (1, 2, 3, 5) for s in ("synchronous", "threads", "distributed")]
    found = {}
    for chunk, scheduler in layouts:
        options = Settings(window=64, overlap=16, chunk=chunk, extras=("confidence", "probabilities"))
        found[chunk, scheduler] = digest(predict(ragged, model, options).compute(scheduler=scheduler))
    assert len(set(found.values())) == 1, found


def test_bf16_and_batches_do_not_depend_on_chunks_either(ragged: Scene) -> None:
    model = fakes.random_urec(high=2047)
    for change in ({"precision": "bf16"}, {"batch": 3}):
        found = set()
        for chunk in (1, 3):
            options = Settings(window=64, overlap=16, chunk=chunk, blend="cosine", **change)
            found.add(digest(predict(ragged, model, options).compute(scheduler="synchronous")))
        assert len(found) == 1


def test_windows_blend_where_they_meet_and_only_there() -> None:
    values = fakes.textured((1, 200, 240))
    got = (
        predict(fakes.make_scene(values), fakes.position_dependent(), SMALL)
        .same.compute(scheduler="threads")
        .values
    )
    bump = np.linspace(0, 1, 96, dtype=np.float32)[:, None] * np.linspace(-1, 1, 96, dtype=np.float32)
    np.testing.assert_allclose(got[:64, :64], (values[0] + bump_at(bump))[:64, :64], atol=1e-6)
    weight = (np.arange(32) + 0.5) / 32
    left, right = values[0, 0, 64:96] + bump[0, 64:], values[0, 0, 64:96] + bump[0, :32]
    np.testing.assert_allclose(got[0, 64:96], left * (1 - weight) + right * weight, atol=1e-3)


def bump_at(bump: np.ndarray) -> np.ndarray:
    """What the first window adds, over the scene."""
    whole = np.zeros((200, 240), dtype=np.float32)
    whole[:96, :96] = bump
    return whole


def test_heads_of_another_scale_come_out_of_the_same_pass() -> None:
    values = fakes.textured((1, 150, 130))
    lazy = predict(fakes.make_scene(values), fakes.upsampler(), SMALL)
    np.testing.assert_allclose(lazy.sr.values, values[0].repeat(4, 0).repeat(4, 1), rtol=1e-6)
    np.testing.assert_allclose(lazy.same.values, values[0], rtol=1e-6)
    assert lazy.sr.odc.geobox.boundingbox == lazy.same.odc.geobox.boundingbox
    assert lazy.sr.odc.geobox.resolution.x * 4 == lazy.same.odc.geobox.resolution.x
    assert lazy.sr.odc.crs == lazy.same.odc.crs == fakes.CRS


@pytest.mark.parametrize("size", [(256, 320), (101, 203), (5, 3)])
def test_pan_and_ms_at_their_own_gsd(size) -> None:
    pan = fakes.textured((1, *size), seed=1)
    coarse = tuple(-(-length // 4) for length in size)
    ms = fakes.textured((3, *coarse), seed=2)
    inputs = {
        "pan": fakes.make_input("pan", pan),
        "ms": fakes.make_input("ms", ms, scale=fakes.Fraction(1, 4), gsd_m=2.0),
    }
    lazy = predict(Scene(id="pair", inputs=inputs), fakes.pan_ms_mean(), Settings(window=64, overlap=16))
    fine = ms.repeat(4, 1).repeat(4, 2)[:, : size[0], : size[1]]
    np.testing.assert_allclose(lazy.hrms.values, (fine + pan) / 2, rtol=1e-6)
    rows, cols = (length // 4 * 4 for length in size)
    mean = pan[0, :rows, :cols].reshape(rows // 4, 4, cols // 4, 4).mean((1, 3))
    np.testing.assert_allclose(lazy.coarse.values[: rows // 4, : cols // 4], mean, rtol=1e-5)
    assert lazy.coarse.shape == coarse


def test_a_slice_runs_only_the_windows_that_touch_it(tmp_path: Path) -> None:
    height, width = 400, 500
    scene = fakes.make_scene(fakes.numbered(height, width))
    lazy = predict(scene, fakes.recorder(tmp_path / "seen"), SMALL)
    assert not list((tmp_path / "seen").iterdir())
    lattice = Lattice(height, width, 96, 32)
    for y, x in [
        (slice(10, 20), slice(10, 20)),
        (slice(70, 75), slice(60, 140)),
        (slice(399, 400), slice(0, 70)),
    ]:
        lazy.isel(y=y, x=x).compute(scheduler="synchronous")
        touched = [
            (window.y.start, window.x.start)
            for chunk in lattice.chunks()
            for window in lattice.windows_of(chunk)
            if window.y.start < y.stop <= window.y.stop + y.stop - y.start - 1
            and window.x.start < x.stop <= window.x.stop + x.stop - x.start - 1
        ]
        assert fakes.seen(tmp_path / "seen", width) == sorted(touched)
        for file in (tmp_path / "seen").iterdir():
            file.unlink()


@pytest.mark.parametrize("chunk", [1, 3])
def test_windows_with_a_valid_pixel_run_once_and_no_other(tmp_path: Path, chunk, scheduler) -> None:
    height, width = 400, 500
    values, invalid = fakes.numbered(height, width), fakes.ragged_nodata(height, width)
    lattice = Lattice(height, width, 96, 32)
    windows = [window for c in lattice.chunks() for window in lattice.windows_of(c)]
    expected = [(w.y.start, w.x.start) for w in windows if not invalid[w.y.slice, w.x.slice].all()]
    assert 0 < len(expected) < len(windows)
    values[0, invalid] = np.nan
    lazy = predict(
        fakes.make_scene(values),
        fakes.recorder(tmp_path / "seen"),
        SMALL.model_copy(update={"chunk": chunk}),
    )
    lazy.compute(scheduler=scheduler)
    assert fakes.seen(tmp_path / "seen", width) == sorted(expected)


def test_one_nan_costs_one_pixel_of_each_head() -> None:
    values = fakes.textured((1, 200, 200))
    values[0, 80, 90] = np.nan
    lazy = predict(fakes.make_scene(values), fakes.upsampler(), SMALL)
    assert np.argwhere(np.isnan(lazy.same.values)).tolist() == [[80, 90]]
    assert np.isnan(lazy.sr.values).sum() == 16
    assert np.isnan(lazy.sr.values[320:324, 360:364]).all()


def test_one_nan_costs_one_pixel_of_a_class_map() -> None:
    values = fakes.textured((3, 300, 200))
    values[1, 80, 90] = np.nan
    lazy = predict(fakes.make_scene(values), fakes.random_urec(), BOTH)
    assert np.argwhere(lazy.segmentation.values == 255).tolist() == [[80, 90]]
    assert np.argwhere(np.isnan(lazy.reconstruction.values)).tolist() == [[band, 80, 90] for band in range(3)]


def test_raw_16_bit_values_need_no_radiometry() -> None:
    values = np.random.default_rng(0).integers(1, 65536, (1, 90, 90)).astype(np.float32)
    scene = fakes.make_scene(values, Storage("uint16", nodata=0))
    got = predict(scene, fakes.identity(), Settings(window=32, overlap=8)).same.compute(scheduler="threads")
    assert (got.values == values[0]).all()


def test_a_value_that_would_equal_the_sentinel_moves_by_one() -> None:
    values = np.zeros((1, 20, 20), dtype=np.float32)
    values[0, 3, 4] = np.nan
    scene = fakes.make_scene(values, Storage("uint8", nodata=0))
    got = predict(scene, fakes.identity(high=255), Settings(window=16, overlap=4)).same.values
    assert got[3, 4] == 0
    assert (np.delete(got.ravel(), 3 * 20 + 4) == 1).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (Settings(window=100, overlap=20), "window must be a multiple of 32 px .* use 96 or 128"),
        (Settings(window=96, overlap=60), "overlap must be at most half the window"),
    ],
)
def test_impossible_layouts_are_refused(options: Settings, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        predict(fakes.make_scene(fakes.textured((3, 50, 50))), fakes.random_urec(), options)


@pytest.mark.parametrize("of_model", [fakes.upsampler, fakes.class_mixer, fakes.identity])
def test_a_chunk_without_a_valid_pixel_is_like_a_part_of_a_larger_one(of_model: Callable[[], Model]) -> None:
    model = of_model()
    values = fakes.textured((model.spec.inputs[0].channels, 300, 400)) * 1000
    values[:, :, 100:] = np.nan
    for storage in (None, Storage("uint16", nodata=7)):
        found = set()
        for chunk in (1, 3, 9):
            options = Settings(window=64, overlap=16, chunk=chunk, extras=("confidence", "probabilities"))
            lazy = predict(fakes.make_scene(values, storage), model, options)
            found.add(digest(lazy.compute(scheduler="synchronous")))
        assert len(found) == 1


def holed(storage: Storage | None = None) -> Scene:
    """A scene whose left edge is not valid, for models of three bands."""
    values = fakes.textured((3, 150, 115)) * 1000 + 1
    values[:, 20:, :40] = np.nan
    return fakes.make_scene(values, storage)


SIXTEEN_BITS = Storage("uint16", nodata=0)
WITH_EXTRAS = Settings(
    window=64,
    overlap=16,
    extras=("confidence", "probabilities"),
    heads=("segmentation", "reconstruction"),
)


@pytest.mark.parametrize(
    "storage",
    [
        SIXTEEN_BITS,
        Storage("uint16", nodata=65535, scale=(0.01,), offset=(-5.0,)),
        Storage("int16", nodata=-9, scale=(0.5, 0.25, 0.5), offset=(0.0,)),
        None,
    ],
)
def test_zarr_gives_back_physical_values_and_nan(tmp_path: Path, storage: Storage | None) -> None:
    scene, model = holed(storage), fakes.random_urec()
    stored, decoded = (predict(scene, model, WITH_EXTRAS, decode=decode) for decode in (False, True))
    stored.to_zarr(tmp_path / "stored.zarr", consolidated=False)
    decoded.to_zarr(tmp_path / "decoded.zarr", consolidated=False)
    expected = decoded.compute(scheduler="synchronous")
    invalid = np.isnan(scene.inputs["image"].data.values[0])
    for name in ("stored", "decoded"):
        again = xr.open_zarr(tmp_path / f"{name}.zarr", consolidated=False, decode_coords="all")
        assert again.rio.crs == stored.rio.crs
        classes = stored.segmentation.values
        assert float(again.segmentation.mean()) == pytest.approx(classes[~invalid].mean())
        for head in again:
            if name == "stored" and len({*(storage or Storage("")).scale}) > 1 and head == "reconstruction":
                continue  # CF has no scale per band
            np.testing.assert_allclose(again[head].values, expected[head].values, rtol=1e-6)
            assert (np.isnan(again[head].values) == invalid).all()


def test_stored_values_are_decoded_as_cf_says() -> None:
    lazy = predict(holed(SIXTEEN_BITS), fakes.random_urec(), WITH_EXTRAS)
    classes, confidence = lazy.segmentation, lazy.segmentation_confidence
    assert (
        classes.dtype == classes.attrs["_FillValue"].dtype == classes.attrs["flag_values"].dtype == np.uint8
    )
    assert classes.attrs["flag_meanings"].split() == [f"class_{k}" for k in range(6)]
    assert len(classes.attrs["flag_colors"].split()) == 6
    assert not {"scale_factor", "add_offset", "nodata"} & set(classes.attrs)
    assert classes.rio.nodata == 255
    shown = xr.decode_cf(lazy).compute(scheduler="synchronous")
    assert shown.identical(
        predict(holed(SIXTEEN_BITS), fakes.random_urec(), WITH_EXTRAS, decode=True).compute()
    )
    valid = classes.values != 255
    assert float(shown.segmentation_confidence.mean()) == pytest.approx(
        (confidence.values[valid] / 254).mean()
    )


@pytest.mark.parametrize("chunk", [1, 2])
def test_chunks_are_even(chunk: int) -> None:
    values = fakes.textured((1, 300, 400))
    lazy = predict(fakes.make_scene(values), fakes.upsampler(), SMALL.model_copy(update={"chunk": chunk}))
    for array in (lazy.same, lazy.sr, lazy.same[33:280, 5:300], lazy.sr[:, 7:]):
        for sizes in array.chunks:
            assert set(sizes[:-1]) <= {sizes[0]}
            assert sizes[-1] <= sizes[0]
    assert lazy.same.chunks[0][0] == 64 * chunk
    assert lazy.sr.chunks[0][0] == 256 * chunk


@pytest.mark.parametrize("decode", [False, True])
def test_any_cut_of_a_variable_runs_its_windows_alone(tmp_path: Path, decode: bool) -> None:
    values = fakes.numbered(400, 500)
    lazy = predict(fakes.make_scene(values), fakes.recorder(tmp_path / "seen"), SMALL, decode=decode)
    head = next(iter(lazy.data_vars.values()))
    points = {"y": xr.DataArray([110, 111], dims="point"), "x": xr.DataArray([120, 125], dims="point")}
    for cut in (
        head[100:120, 110:128],
        head[96:300][4:20, 110:128],
        head.sel(x=head.x[110:128], y=head.y[100:120]),
        head.isel(y=110, x=[110, 115]),
        head[100:126:3, 100:128:5],
        head.isel(points),
    ):
        cut.compute(scheduler="synchronous")
        assert fakes.seen(tmp_path / "seen", 500) == [(64, 64)]
        assert (cut.values == values[0][np.isin(values[0], cut.values)].reshape(cut.shape)).all()
        for file in (tmp_path / "seen").iterdir():
            file.unlink()
