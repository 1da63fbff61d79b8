from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from rsmtl.errors import PlanError
from rsmtl.models.spec import HeadSpec, InputSpec, ModelSpec
from rsmtl.scene.align import scaled_grid
from rsmtl.scene.lazy import lazy_bands
from rsmtl.scene.open import open_scene
from rsmtl.scene.read import read_window, sample_values
from rsmtl.scene.scene import Scene, SceneInput, Storage
from tests.scene.rasters import CRS, grid, image, write_raster

SCALES = [Fraction(s) for s in ("1/4", "1/2", "1", "2/3", "3/2", "2", "4")]


def make_scene(height, width, inputs, seed=0):
    """A scene in memory with inputs (bands, scale), the first of scale 1; some pixels are NaN."""
    rng = np.random.default_rng(seed)
    reference, made = GeoBox((height, width), grid(), CRS), {}
    for k, (bands, scale) in enumerate(inputs):
        geobox = scaled_grid(reference, scale)
        values = rng.normal(size=(bands, *geobox.shape)).astype(np.float32)
        values[rng.random(values.shape) < 0.03] = np.nan
        values[rng.random(values.shape) < 0.01] = np.inf
        names = tuple(f"b{b}" for b in range(bands))
        data = xr.DataArray(values, dims=("band", "y", "x"))
        made[f"in{k}"] = SceneInput(f"in{k}", data, geobox, Storage("float32", masked=True), names, scale)
    spec = ModelSpec(
        system="fake",
        inputs=[InputSpec(name=f"in{k}", channels=b, scale=s) for k, (b, s) in enumerate(inputs)],
        heads=[HeadSpec(name="h", channels=1, kind="continuous", like="in0")],
    )
    return Scene(id="x", inputs=made), spec


def expected(scene, y, x):
    """The same, pixel by pixel."""
    valid = np.ones((y.stop - y.start, x.stop - x.start), bool)
    for row in range(y.start, y.stop):
        for col in range(x.start, x.stop):
            for found in scene.inputs.values():
                rows, cols = (slice(floor(p * found.scale), ceil((p + 1) * found.scale)) for p in (row, col))
                valid[row - y.start, col - x.start] &= np.isfinite(found.data.values[:, rows, cols]).all()
    return valid


@settings(max_examples=80, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    scales=st.lists(st.sampled_from(SCALES), max_size=2),
    bands=st.integers(1, 3),
    where=st.tuples(*[st.floats(0, 1)] * 4),
    seed=st.integers(0, 99),
)
def test_values_and_mask_are_those_of_plain_numpy(shape, scales, bands, where, seed):
    scene, spec = make_scene(*shape, [(bands, Fraction(1)), *((bands, s) for s in scales)], seed)
    step = int(np.lcm.reduce([1, *(s.denominator for s in scales)]))
    spans = []
    for size, first, last in zip(shape, where[:2], where[2:], strict=True):
        start = int(first * ((size - 1) // step)) * step
        spans.append(slice(start, start + 1 + int(last * (size - start - 1))))
    values, valid = read_window(scene, spec, *spans)
    np.testing.assert_array_equal(valid, expected(scene, *spans))
    for name, found in scene.inputs.items():
        cut = tuple(slice(int(s.start * found.scale), ceil(s.stop * found.scale)) for s in spans)
        np.testing.assert_array_equal(values[name], found.data.values[:, cut[0], cut[1]])
        assert values[name].dtype == np.float32
    assert list(values) == [i.name for i in spec.inputs]


def test_one_invalid_pixel_of_a_coarser_input_costs_its_block_and_of_a_finer_one_pixel():
    scene, spec = make_scene(8, 8, [(1, Fraction(1)), (2, Fraction(1, 4)), (1, Fraction(4))])
    for found in scene.inputs.values():
        found.data.values[:] = 1
    scene.inputs["in1"].data.values[1, 1, 0] = np.nan
    scene.inputs["in2"].data.values[0, 3, 31] = np.nan
    _, valid = read_window(scene, spec, slice(0, 8), slice(0, 8))
    lost = np.zeros((8, 8), bool)
    lost[4:8, 0:4] = True
    lost[0, 7] = True
    np.testing.assert_array_equal(~valid, lost)


def test_a_region_must_begin_on_a_whole_pixel_of_each_input():
    scene, spec = make_scene(8, 8, [(1, Fraction(1)), (1, Fraction(1, 4))])
    with pytest.raises(
        PlanError, match=r"begins at reference pixel 6, .* input 'in1' at scale 1/4: begin at a multiple of 4"
    ):
        read_window(scene, spec, slice(4, 8), slice(6, 8))


@pytest.mark.parametrize("shape", [(1, 1), (64, 513), (100, 700), (2000, 3000)])
def test_a_sample_is_spread_over_the_scene_and_always_the_same(tmp_path, shape):
    values = image(2, *shape)
    values[:, 0, 0] = 0
    found = open_scene(write_raster(tmp_path / "a.tif", values, nodata=0)).inputs["image"]
    sample = sample_values(found)
    assert sample.shape == (2, min(shape[0], 512) * min(shape[1], 512))
    np.testing.assert_array_equal(sample, sample_values(found))
    assert np.isnan(sample[:, 0]).all()
    if shape != (1, 1):
        assert sample[0, -1] == values[0, -1, -1]


def test_a_sample_of_a_large_scene_costs_few_small_reads():
    class Counting:
        shape = (4, 16384, 16384)
        asked = 0
        n = 0

        def read(self, y, x):
            self.n += 1
            self.asked += (y.stop - y.start) * (x.stop - x.start)
            return np.zeros((4, y.stop - y.start, x.stop - x.start), np.float32)

    reader = Counting()
    geobox = GeoBox((16384, 16384), grid(), CRS)
    found = SceneInput("image", lazy_bands(reader, "abcd"), geobox, Storage("uint16"), tuple("abcd"))
    assert sample_values(found).shape == (4, 512 * 512)
    assert (reader.n, reader.asked) == (64, 512 * 512)
