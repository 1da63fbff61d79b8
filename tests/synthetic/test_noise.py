import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsmtl.synthetic import noise


@pytest.fixture(scope="module")
def lattice():
    return np.arange(400)[:, None], np.arange(400)[None, :]


def test_uniform_numbers_fill_the_unit_interval(lattice):
    drawn = noise.uniform(noise.key(1, 2), *lattice)
    counts, _ = np.histogram(drawn, bins=20, range=(0, 1))
    assert drawn.dtype == np.float32
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert np.abs(counts / drawn.size - 0.05).max() < 0.003


def test_normal_numbers_have_mean_0_and_variance_1(lattice):
    drawn = noise.normal(noise.key(1, 2), *lattice)
    assert abs(drawn.mean()) < 0.01
    assert abs(drawn.std() - 1) < 0.01


def test_neighbours_and_transposed_places_are_independent(lattice):
    drawn = noise.uniform(noise.key(3), *lattice).astype(np.float64)
    for other in (np.roll(drawn, 1, axis=0), np.roll(drawn, 1, axis=1), drawn.T + 0.0):
        off_diagonal = ~np.eye(400, dtype=bool)
        assert abs(np.corrcoef(drawn[off_diagonal], other[off_diagonal])[0, 1]) < 0.01


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_keys_tell_seeds_and_salts_apart(seed, other):
    assert noise.key(seed, 1) != noise.key(seed, 2)
    assert noise.key(seed, 1, 2) != noise.key(seed, 2, 1)
    if seed != other:
        assert [noise.key(seed, k) for k in range(3)] != [noise.key(other, k) for k in range(3)]


def test_spline_noise_is_continuous_and_of_unit_variance():
    y, x = np.arange(0, 3000, 3.0)[:, None], np.arange(0, 3000, 3.0)[None, :]
    field = noise.spline_noise(noise.key(5), 40.0, y, x)
    assert 0.8 < field.std() < 1.2
    assert np.abs(np.diff(field, axis=0)).max() < 0.5
    fine = noise.spline_noise(noise.key(5), 40.0, np.array([39.99999, 40.00001]), np.array([7.0, 7.0]))
    assert abs(fine[0] - fine[1]) < 1e-4


@given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6))
def test_a_field_does_not_depend_on_what_is_asked_beside_it(row, column):
    y, x = (row + np.arange(40)) * 0.5, (column + np.arange(50)) * 0.5
    key = noise.key(9)
    spline = noise.spline_noise(key, 13.0, y[:, None], x[None, :])
    grain = noise.grain(key, 3.0, y, x)
    part = slice(7, 8), slice(20, 33)
    assert np.array_equal(noise.spline_noise(key, 13.0, y[part[0], None], x[None, part[1]]), spline[part])
    assert np.array_equal(noise.grain(key, 3.0, y[part[0]], x[part[1]]), grain[part])


def test_upsample_meets_its_nodes_and_is_linear_between():
    def nodes(row, column):
        return (3 * row + column).astype(np.float32)

    y, x = np.array([-4.0, -1.0, 0.0, 4.0]), np.array([0.0, 2.0, 8.0])
    assert np.array_equal(noise.upsample(4.0, y, x, nodes), 3 * y[:, None] / 4 + x[None, :] / 4)
