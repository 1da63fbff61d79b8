import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rsmtl.synthetic import noise
from rsmtl.synthetic.regions import REACH_M, pair_uniform, regions

SPACING = 300.0


def around(y, x, amplitude=30.0):
    y, x = y[:, None], x[None, :]
    shifts = [np.float32(amplitude) * noise.spline_noise(noise.key(1, salt), 200.0, y, x) for salt in (1, 2)]
    return regions(noise.key(7), SPACING, y, x, *shifts)


def test_owner_and_edge_are_those_of_the_nearest_sites():
    y, x = np.arange(-350, 350, 7.0), np.arange(1000, 1900, 9.0)
    found = around(y, x, amplitude=0.0)
    wide = around(np.arange(-1500, 1500, 50.0), np.arange(0, 3000, 50.0), amplitude=0.0)
    points = np.stack(np.broadcast_arrays(y[:, None], x[None, :]), axis=-1)
    distances = np.sqrt(((points[..., None, :] - wide.sites) ** 2).sum(axis=-1))
    nearest = distances.argmin(axis=-1)
    assert np.array_equal(found.ids[found.owner], wide.ids[nearest])
    apart = np.sqrt(((wide.sites[:, None] - wide.sites) ** 2).sum(axis=-1))[nearest]
    first = distances.min(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        edges = (distances**2 - first**2) / (2 * apart)
    edge = np.nanmin(edges, axis=-1).clip(max=REACH_M)
    assert np.allclose(found.edge_m, edge, atol=0.02)


@given(st.integers(-(10**5), 10**5), st.integers(-(10**5), 10**5), st.integers(1, 90), st.integers(1, 90))
def test_a_window_agrees_with_its_surroundings(row, column, height, width):
    y, x = (row + np.arange(420)) * 0.7, (column + np.arange(350)) * 0.7
    whole = around(y, x)
    part = slice(100, 100 + height), slice(200, 200 + width)
    alone = around(y[part[0]], x[part[1]])
    assert np.array_equal(alone.ids[alone.owner], whole.ids[whole.owner][part])
    assert np.array_equal(alone.ids[alone.other], whole.ids[whole.other][part])
    for name in ("edge_m", "dy", "dx"):
        assert np.array_equal(getattr(alone, name), getattr(whole, name)[part])


def test_a_pair_has_one_number_whichever_comes_first():
    drawn = pair_uniform(noise.key(1), np.array([5, 9, 2**31, 2**32 - 1], np.uint32))
    assert np.array_equal(drawn, drawn.T)
    assert len(np.unique(drawn[np.triu_indices(4, 1)])) == 6
