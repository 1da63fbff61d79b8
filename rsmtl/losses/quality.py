"""The loss of pansharpened images: a quality index and a signal-to-noise ratio instead of an error."""

import torch
import torch.nn.functional as F
from torch import Tensor

from rsmtl.ranks import batch_mean

_BOX_PX = 8
_FULL_PSNR_DB = 50.0
"""At this ratio the term is zero; above it, negative."""
_LEAST_MSE = 1e-10
"""100 dB: keeps the logarithm of a perfect image finite. The authors have no such limit."""
_FLAT = 1e-10
"""Below this a window's denominator is that of a flat or black window."""


def pansharpening_quality(output: Tensor, target: Tensor) -> Tensor:
    """Return (1 − Q) + (1 − PSNR / 50).

    Khalel, Tasar, Charpiat, Tarabalka, IGARSS 2019, its pansharpening loss. PSNR = 10 log₁₀(1 / MSE) of the whole
    batch, for values from 0 to 1; there is no other error term, so the loss is negative above 50 dB, down to −1 at
    the 100 dB at which we stop.

    Parameters
    ----------
    output, target
        `(N, C, H, W)` in [0, 1], H and W at least 8.

    Returns
    -------
    Tensor
        Scalar, float32: at least −1, and 2 − PSNR/50 + 1 at worst.
    """
    output, target = output.float(), target.float()
    mse = batch_mean((output - target).square()).clamp(min=_LEAST_MSE)
    psnr_db = -10.0 * torch.log10(mse)
    return (1 - universal_quality(output, target)) + (1 - psnr_db / _FULL_PSNR_DB)


def universal_quality(output: Tensor, target: Tensor) -> Tensor:
    """Return the universal image quality index Q, differentiable, as the mean over windows, bands and images.

    Wang and Bovik, "A universal image quality index", IEEE Signal Processing Letters 2002, with windows of 8×8 pixels
    at every pixel that has a whole one. Where its formula is 0/0 this follows the index's own convention: for two
    flat windows only their means are compared, and two black windows are equal.

    Parameters
    ----------
    output, target
        `(N, C, H, W)`, H and W at least 8.

    Returns
    -------
    Tensor
        Scalar in [−1, 1], float32.
    """
    x, y = output.double(), target.double()  # E[x²] − E[x]² of a bright flat window cancels in float32
    mean_x, mean_y = _box_mean(x), _box_mean(y)
    covariance = _box_mean(x * y) - mean_x * mean_y
    variances = (_box_mean(x * x) - mean_x.square()) + (_box_mean(y * y) - mean_y.square())
    squares = mean_x.square() + mean_y.square()
    structure = _ratio(2 * covariance, variances)
    luminance = _ratio(2 * mean_x * mean_y, squares)
    return batch_mean(structure * luminance)


def _ratio(over: Tensor, under: Tensor) -> Tensor:
    """Divide; one where the divisor vanishes, with no gradient there instead of NaN."""
    known = under > _FLAT
    return torch.where(known, over / torch.where(known, under, 1.0), 1.0)


def _box_mean(values: Tensor) -> Tensor:
    return F.avg_pool2d(values, _BOX_PX, stride=1)
