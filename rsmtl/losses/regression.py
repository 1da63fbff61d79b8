"""Losses of continuous values, pixel by pixel."""

from torch import Tensor

from rsmtl.ranks import batch_mean


def mean_absolute(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean of |output − target| over batch, channels and pixels, both `(N, C, H, W)`; scalar ≥ 0, float32.

    The reconstruction term of U-REC, whose paper (equation 1) writes a sum while its authors' code takes the mean: a
    sum would be some 10⁵ times the cross-entropy. The super-resolution term of the end-to-end D-DBPN and SegNet.
    """
    return batch_mean((output.float() - target.float()).abs())


def mean_squared(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean of (output − target)² over batch, channels and pixels, both `(N, C, H, W)`; scalar ≥ 0, float32.

    The super-resolution term of the three-objective CNN, and PanNet's loss.
    """
    return batch_mean((output.float() - target.float()).square())
