"""Which values of a continuous head are blended exactly: those it declares, or those that its input can have."""

from collections.abc import Mapping
from math import ceil, log2

import numpy as np
from numpy.typing import NDArray

from rsmtl.blend import Exact
from rsmtl.models.spec import VALUE_LIMIT, HeadSpec
from rsmtl.radiometry import Radiometry
from rsmtl.scene.scene import Scene, Storage

Sample = NDArray[np.float32]

HEADROOM = 2.0**10
"""Of floating-point inputs: how far a value may lie beyond those of the sample. A radar's corner reflectors do."""

_GREATEST = 2.0**100


def exact_values(
    head: HeadSpec, scene: Scene, radiometry: Mapping[str, Radiometry], samples: Mapping[str, Sample]
) -> Exact:
    """Return the values that a continuous head may have.

    Those of a head like an input whose type is an integer of at most 32 bits follow from the type, with room for twice
    as much; greater ones are clipped, since the type cannot hold them. For other types the input's sample tells, with
    more room, and a greater value is an error. It is 2¹⁷ at least, so that the values of 8 and 16 bits are always
    blended in the same steps.

    Parameters
    ----------
    scene
        Aligned to the model.
    radiometry
        By input, as it is applied.
    samples
        `(bands, n)` physical values by input; an input without one is taken to stay within 2¹⁷.
    """
    if not head.like:
        return Exact(head.own.greatest, strict=True)
    storage, applied = scene.inputs[head.like].storage, radiometry[head.like]
    dtype = np.dtype(storage.dtype)
    if dtype.kind != "f" and dtype.itemsize <= 4:
        return Exact(_power(2 * _greatest(_ends(storage), applied)), strict=False)
    greatest = _greatest(samples[head.like], applied) if head.like in samples else 0.0
    return Exact(_power(HEADROOM * greatest), strict=True)


def _ends(storage: Storage) -> NDArray[np.float64]:
    """Physical values `(bands, 2)` at both ends of an integer type."""
    held = np.iinfo(storage.dtype)
    scale, offset = (np.array(v)[:, None] for v in np.broadcast_arrays(storage.scale, storage.offset))
    return np.asarray(np.array([[int(held.min), int(held.max)]]) * scale + offset)


def _greatest(values: NDArray[np.floating], radiometry: Radiometry) -> float:
    """Greatest absolute network value of physical ones `(bands, n)`."""
    if radiometry.kind != "fixed":  # not measured: the plan tells what a run costs, and is not to be run
        return 0.0
    low, high = (np.array(v, dtype=np.float64)[:, None] for v in (radiometry.low, radiometry.high))
    network = np.abs((values - low) / (high - low))
    return float(np.max(network, initial=0.0, where=np.isfinite(network)))


def _power(value: float) -> float:
    """The least power of two that is not below a value, and neither below what is taken in any case."""
    return VALUE_LIMIT if value <= VALUE_LIMIT else float(2.0 ** ceil(log2(min(value, _GREATEST))))
