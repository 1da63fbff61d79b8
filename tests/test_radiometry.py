"""Radiometry: there and back, and measured once per scene."""

import numpy as np
import pytest
from pydantic import ValidationError

from rsmtl.radiometry import Radiometry


def test_there_and_back() -> None:
    radiometry = Radiometry(low=(10.0, 20.0), high=(110.0, 30.0))
    values = np.array([[[10, 110, 60]], [[20, 30, np.nan]]], dtype=np.float32)
    network = radiometry.to_network(values)
    np.testing.assert_allclose(network, [[[0, 1, 0.5]], [[0, 1, np.nan]]])
    assert network.dtype == np.float32
    np.testing.assert_allclose(radiometry.to_physical(network.astype(np.float64)), values)


def test_percentiles_are_fitted_to_the_valid_pixels_alone() -> None:
    sample = np.tile(np.arange(101.0), (2, 1))
    sample[1] *= 10
    sample[0, 100] = np.nan
    fitted = Radiometry(kind="percentile", low=(0.0,), high=(100.0,)).fit(sample)
    assert fitted == Radiometry(low=(0.0, 0.0), high=(99.0, 990.0))


def test_a_flat_or_empty_scene_still_has_a_radiometry() -> None:
    percentile = Radiometry(kind="percentile", low=(2.0,), high=(98.0,))
    flat = percentile.fit(np.full((1, 10), 7.0))
    assert flat.high[0] > flat.low[0]
    assert percentile.fit(np.full((1, 10), np.nan)) == Radiometry()


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ValidationError, match="each `high` must exceed its `low`"):
        Radiometry(low=(1.0,), high=(1.0,))
