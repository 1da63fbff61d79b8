import numpy as np
import pytest

from rsmtl.scene.physical import to_physical


def physical(values, nodata=None, scale=1.0, offset=0.0):
    stored = np.asarray(values)[None, None]
    return to_physical(stored, (nodata,), (scale,), (offset,))[0, 0]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_small_integers_survive_exactly(dtype):
    info = np.iinfo(dtype)
    numbers = np.arange(info.min, info.max + 1).astype(dtype)
    np.testing.assert_array_equal(physical(numbers), numbers.astype(np.int64))


def test_large_integers_are_rounded_to_float32():
    numbers = np.array([2**24, 2**24 + 1, 2**31 - 1], dtype=np.int32)
    np.testing.assert_array_equal(physical(numbers), numbers.astype(np.float32))
    np.testing.assert_allclose(physical(numbers), numbers, rtol=6e-8)


@pytest.mark.parametrize(
    ("values", "nodata", "invalid"),
    [
        (np.array([0, 1, 65535], "uint16"), 0, [True, False, False]),
        (np.array([-32768, 0, 5], "int16"), -32768, [True, False, False]),
        (np.array([0, 255], "uint8"), -9999, [False, False]),  # cannot be stored in a byte
        (np.array([0, 255], "uint8"), 0.5, [False, False]),
        (
            np.array([2**24, 2**24 + 1], "int32"),
            2**24 + 1,
            [False, True],
        ),  # one float32, told apart before rounding
        (np.array([0.1, 0.2], "float32"), 0.1, [True, False]),  # named in double precision
        (np.array([np.nan, 1.0], "float32"), np.nan, [True, False]),
        (np.array([np.nan, -9999.0, 1.0], "float64"), -9999, [True, True, False]),
        (np.array([1.0, 2.0], "float32"), None, [False, False]),
    ],
)
def test_sentinel(values, nodata, invalid):
    assert np.isnan(physical(values, nodata)).tolist() == invalid


def test_scale_and_offset_go_band_by_band_and_leave_the_sentinel_alone():
    stored = np.array([[[0, 100]], [[0, 100]]], dtype=np.int16)
    values = to_physical(stored, (0, None), (0.0001, 1.0), (1000.0, -5.0))
    np.testing.assert_allclose(values, [[[np.nan, 1000.01]], [[-5.0, 95.0]]], rtol=1e-7)
    assert values.dtype == np.float32


def test_a_double_beyond_float32_is_not_finite():
    assert not np.isfinite(physical(np.array([1e300]))).any()
