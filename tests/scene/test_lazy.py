import numpy as np
import pytest
import xarray as xr

from rsmtl.scene.lazy import lazy_bands

VALUES = np.arange(3 * 7 * 5, dtype=np.float32).reshape(3, 7, 5)


class Counting:
    """Gives numbers, and remembers what was asked for."""

    shape = VALUES.shape

    def __init__(self):
        self.asked = []

    def read(self, y, x):
        self.asked.append((y, x))
        return VALUES[:, y, x].copy()


def test_nothing_is_read_before_it_is_asked_for():
    reader = Counting()
    array = lazy_bands(reader, ("a", "b", "c"))
    assert array.sel(band="b").isel(y=slice(2, 4)).shape == (2, 5)
    repr(array)
    assert reader.asked == []


def test_only_the_region_is_read():
    reader = Counting()
    lazy_bands(reader, "abc").isel(y=slice(2, 6), x=slice(1, 3)).compute()
    assert reader.asked == [(slice(2, 6), slice(1, 3))]


@pytest.mark.parametrize(
    "index",
    [
        {"y": slice(1, 4), "x": slice(2, 5)},
        {"y": slice(None, None, -1)},
        {"y": slice(6, 1, -2), "x": slice(0, 5, 3)},
        {"y": 3},
        {"band": 1, "x": 4},
        {"band": [2, 0], "y": [5, 1, 1]},
        {"y": slice(3, 3)},
        {"band": slice(0, 2), "y": 0, "x": 0},
    ],
)
def test_every_way_to_index_gives_what_numpy_gives(index):
    eager = xr.DataArray(VALUES, dims=("band", "y", "x"), coords={"band": list("abc")})
    lazy = lazy_bands(Counting(), "abc")
    xr.testing.assert_identical(lazy.isel(index).compute(), eager.isel(index))


def test_turned_twice_is_as_before():
    lazy = lazy_bands(Counting(), "abc").isel(y=slice(None, None, -1)).isel(y=slice(1, 5))
    np.testing.assert_array_equal(lazy.values, VALUES[:, ::-1][:, 1:5])
