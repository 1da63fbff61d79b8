"""Pairs of images to measure: made, and real."""

from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

from tests import fakes

Pair = tuple[NDArray[np.float64], NDArray[np.float64]]


def made(bands: int = 4, height: int = 96, width: int = 120, seed: int = 0) -> Pair:
    """A texture of 11 bits, and the same blurred, brightened and with noise."""
    rng = np.random.default_rng(seed)
    reference = np.rint(fakes.textured((bands, height, width), seed=seed) * 2047).astype(np.float64)
    estimate = (
        0.8 * reference
        + 0.2 * np.roll(reference, 1, axis=2)
        + rng.normal(0, 40, reference.shape)
        + 15 * np.arange(bands)[:, None, None]
    )
    return reference, np.clip(np.rint(estimate), 0, 2047)


def real(real_data: Path) -> Pair:
    """Four bands of WorldView-2, and the same after a loss of resolution."""
    with rasterio.open(real_data / "pan_ms" / "tile1_ms_2m.tif") as file:
        reference = file.read().astype(np.float64)
    coarse = reference[:, :148, :148].reshape(4, 37, 4, 37, 4).mean(axis=(2, 4))
    return reference[:, :148, :148], coarse.repeat(4, axis=1).repeat(4, axis=2)
