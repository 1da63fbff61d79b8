"""What the engine asks of an aligned scene: a region of all inputs with its valid mask, and a coarse sample."""

from fractions import Fraction
from math import ceil

import numpy as np
from numpy.typing import NDArray

from rsmtl.errors import PlanError
from rsmtl.models.spec import ModelSpec
from rsmtl.scene.scene import Scene, SceneInput

SAMPLE_BLOCKS = 8
"""Blocks of a sample along one axis."""

REDUCED_BLOCK_PX = 2048
"""Edge of what is read at once for a picture."""

SAMPLE_BLOCK_PX = 64
"""Edge of a block of a sample."""


def read_window(
    scene: Scene, spec: ModelSpec, y: slice, x: slice
) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.bool_]]:
    """Read a region of every input of an aligned scene.

    Parameters
    ----------
    y, x
        Half-open, in reference pixels, within the scene. `start × scale` must be whole for every input.

    Returns
    -------
    tuple
        By input name, `(bands, h, w)` float32 physical values, NaN where invalid; and `(H, W)` bool, True for
        the reference pixels at which every band of every input is finite. An invalid pixel of a coarser input
        costs all reference pixels it covers; one invalid pixel of a finer input costs the one it lies in.

    Raises
    ------
    PlanError
        If the region does not begin on a whole pixel of some input.
    RunError
        If an input cannot be read.
    """
    values: dict[str, NDArray[np.float32]] = {}
    valid = np.ones((y.stop - y.start, x.stop - x.start), np.bool_)
    for wanted in spec.inputs:
        found = scene.inputs[wanted.name]
        rows, cols = (_pixels(found, span, n) for span, n in zip((y, x), found.geobox.shape, strict=True))
        region = values[wanted.name] = found.read(rows, cols)
        finite: NDArray[np.bool_] = np.asarray(np.isfinite(region).all(axis=0))
        valid &= _onto_reference(_onto_reference(finite, y, found.scale, 0), x, found.scale, 1)
    return values, valid


def sample_values(found: SceneInput) -> NDArray[np.float32]:
    """Return `(bands, n)` float32 values on a fixed grid of 8×8 blocks of 64×64 pixels, NaN where invalid.

    An axis of up to 512 pixels is taken whole. It costs 64 small reads and a megabyte a band at most, whatever
    the scene's size, and is the same each time.
    """
    rows, cols = (_sample_spans(size) for size in found.geobox.shape)
    blocks = [found.read(row, col).reshape(len(found.bands), -1) for row in rows for col in cols]
    return np.concatenate(blocks, axis=1)


def reduced(found: SceneInput, edge_px: int) -> NDArray[np.float32]:
    """Return `(bands, h, w)` of every k-th pixel, so that no edge is longer than `edge_px`; for pictures.

    The input is read block by block; what is in memory does not grow with the scene.
    """
    height, width = found.geobox.shape
    step = ceil(max(height, width) / edge_px)
    small = np.empty((len(found.bands), ceil(height / step), ceil(width / step)), np.float32)
    block = step * max(1, REDUCED_BLOCK_PX // step)
    for y in range(0, height, block):
        for x in range(0, width, block):
            part = found.read(slice(y, min(y + block, height)), slice(x, min(x + block, width)))[
                :, ::step, ::step
            ]
            small[:, y // step : y // step + part.shape[1], x // step : x // step + part.shape[2]] = part
    return small


def _pixels(found: SceneInput, span: slice, size: int) -> slice:
    """Return the input's pixels under a span of reference pixels."""
    start = span.start * found.scale
    if start.denominator != 1:
        raise PlanError(
            f"a region begins at reference pixel {span.start}, which is no whole pixel of input {found.name!r} at "
            f"scale {found.scale}: begin at a multiple of {found.scale.denominator}"
        )
    return slice(int(start), min(ceil(span.stop * found.scale), size))


def _onto_reference(valid: NDArray[np.bool_], span: slice, scale: Fraction, axis: int) -> NDArray[np.bool_]:
    """Bring one axis of a mask of a span onto reference pixels: each needs all input pixels that it touches."""
    if scale == 1:
        return valid
    pixels = np.arange(span.stop - span.start)
    first = pixels * scale.numerator // scale.denominator
    last = -(-(pixels + 1) * scale.numerator // scale.denominator) - 1
    answer = valid.take(first, axis)
    for step in range(1, int((last - first).max()) + 1):
        answer &= valid.take(np.minimum(first + step, last), axis)
    return answer


def _sample_spans(size: int) -> list[slice]:
    if size <= SAMPLE_BLOCKS * SAMPLE_BLOCK_PX:
        return [slice(k, min(k + SAMPLE_BLOCK_PX, size)) for k in range(0, size, SAMPLE_BLOCK_PX)]
    starts = np.linspace(0, size - SAMPLE_BLOCK_PX, SAMPLE_BLOCKS).astype(int).tolist()
    return [slice(start, start + SAMPLE_BLOCK_PX) for start in starts]
